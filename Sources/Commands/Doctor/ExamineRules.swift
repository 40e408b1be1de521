import ObjectStore
import Repository

extension Examination {
  /// Runs the conformance suite, as far as what it stores can be removed again.
  mutating func examineRules(
    _ store: any ObjectStore, _ s3: S3Store?, _ directory: DirectoryStore?
  ) async throws {
    let suite = ProbeSuite(store, s3: s3, directory: directory, base: base) {
      ErrorText($0).sentences.first ?? "\($0)"
    }
    let mayWrite = report.permissions?.write == .allowed && report.permissions?.delete == .allowed
    let why =
      report.permissions?.write == .allowed
      ? "not tried: it would leave objects that these credentials may not delete"
      : "not tried: these credentials may not write"
    do {
      // Several at once, since each waits for one answer after the other.
      report.probes = try await concurrently(suite.probes, limit: 4) { probe in
        probe.writes && !mayWrite ? ProbeResult(probe, .unknown, why) : try await suite.run(probe)
      }
    } catch let error as StoreError {
      report.add("rules", error)
      throw ExaminationEnd()
    }
    tell(tried: report.probes.filter { !$0.detail.hasPrefix("not tried") }, why)
  }

  private mutating func tell(tried: [ProbeResult], _ why: String) {
    let untried = report.probes.count - tried.count
    let needed = tried.filter { $0.need == .needed && $0.outcome != .unknown }
    let broken = needed.filter { $0.outcome == .doesNotHold }
    let others = tried.filter { $0.need != .needed }
    let count = others.count { $0.outcome == .holds }
    if broken.isEmpty, untried > 0 {
      report.add("rules", .info, "\(untried) of \(report.probes.count) \(why)")
    } else if broken.isEmpty {
      report.add(
        "rules", .ok, "all \(needed.count) that ckbackup needs hold, and \(count) of \(others.count) others")
    } else {
      report.add(
        "rules", .failed,
        "\(broken.count) of the \(needed.count) rules that ckbackup needs do not hold: "
          + broken.map(\.name).joined(separator: ", "))
    }
    for result in broken { report.add(result.name, .failed, result.detail) }
    // The clock has a step of its own.
    for result in others
    where result.need == .useful && result.outcome == .doesNotHold && result.name != "clock" {
      report.add(
        result.name, Self.worthAWarning.contains(result.name) ? .warning : .info,
        result.detail, change: change(result))
    }
    let absent = others.filter { $0.need == .informative && $0.outcome == .doesNotHold }.map(\.name)
    if !absent.isEmpty {
      report.add("not offered", .info, "\(absent.joined(separator: ", ")): ckbackup needs none of it")
    }
  }

  /// The rules about which somebody should do something; others are as they are.
  private static let worthAWarning: Set<String> = [
    "content-md5", "content-md5-part", "signature-checked", "private", "free-space",
  ]

  /// The line of the configuration that helps where a rule does not hold.
  private func change(_ result: ProbeResult) -> String? {
    let signsUseful = report.probes.contains { $0.name == "payload-sha256" && $0.outcome == .holds }
    return result.name == "content-md5" && signsUseful && !environment.configuration.signPayload
      ? "sign_payload = true" : nil
  }
}
