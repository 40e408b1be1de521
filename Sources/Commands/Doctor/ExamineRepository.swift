import ObjectStore
import Repository

extension Examination {
  /// Whether there is a repository, or room for one.
  mutating func examineRepository(_ store: any ObjectStore) async throws {
    let place = environment.configuration.repository ?? ""
    do {
      let bytes = try await store.get(ObjectKey.repository, limit: 1 << 20)
      let info = try RepositoryInfo.decode(bytes)
      isRepository = true
      report.add(
        "repository", .ok,
        "\(info.id.prefix(8)), made \(info.created.localMinute), chunks of \(Quantity.format(bytes: info.chunkSize))"
      )
    } catch StoreError.missing {
      let others = (try? await store.list("").objects.map(\.key)) ?? []
      let other = others.first { !ObjectKey.isDoctors($0) }
      if let other {
        report.add(
          "repository", .failed,
          others.contains { $0.hasPrefix(ObjectKey.packs) }
            ? "ckbackup.json is missing, and there are packs: ckbackup init --recreate writes it anew"
            : "the place is not empty (\(other.debugDescription), for example) and is no repository: choose a prefix of its own"
        )
        // Nothing is tried out among what is somebody else's.
        throw ExaminationEnd()
      } else {
        report.add(
          "repository", .warning, "none yet, and the place is empty", run: "ckbackup init --repo \(place)")
      }
    } catch let error as StoreError where error.isDenial {
      report.add("repository", .info, "ckbackup.json may not be read by these credentials")
    } catch let error as CancellationError {
      throw error
    } catch let error as ExaminationEnd {
      throw error
    } catch {
      report.add("repository", error)
      if case .unreachable = error as? StoreError { throw ExaminationEnd() }
    }
  }

  /// What the credentials may do, and which commands that is enough for.
  mutating func examinePermissions(_ store: any ObjectStore, _ s3: S3Store?) async throws {
    let random = base.split(separator: "/").last ?? ""
    let folders = [
      ObjectKey.packs + "weights/00/", ObjectKey.manifests, ObjectKey.records, ObjectKey.snapshots,
      ObjectKey.deletions, ObjectKey.ledger,
    ].map { (name: String($0.prefix { $0 != "/" }), key: "\($0)doctor-\(random)") }
    let check = PermissionCheck(
      store, s3: s3, key: "\(base)/object", lasting: ObjectKey.undeletable,
      existing: ObjectKey.repository, folders: folders)
    mayHaveStored = true
    let found = try await check.run()
    report.permissions = found
    report.leftBehind += found.leftBehind
    if let failure = found.failure {
      report.add("permissions", failure)
      throw ExaminationEnd()
    }
    let all = [
      ("list", found.list), ("read", found.read), ("write", found.write), ("write in parts", found.multipart),
      ("delete", found.delete),
    ]
    let refused = all.filter { $0.1 == .refused }.map(\.0)
    let allowed = all.filter { $0.1 == .allowed }.map(\.0)
    report.add(
      "permissions", refused.isEmpty ? .ok : .info,
      (allowed.isEmpty ? "nothing is allowed" : "may \(allowed.joined(separator: ", "))")
        + (refused.isEmpty ? "" : "; may not \(refused.joined(separator: ", "))"),
      advice: found.write == .refused && found.folders.contains { $0.write == .allowed }
        ? "may write packs, but not doctor/, where things are tried: docs/security.md allows it" : nil)
    for command in CommandNeeds.all { add(command, found) }
    if found.delete == .allowed, isRepository {
      let count = try? await Leftovers.removeOld(of: store)
      if let count, count > 0 {
        report.add(
          "leftovers", .info, "\(Quantity.count(count, "object")) of a doctor that was killed removed")
      }
    }
  }

  private mutating func add(_ command: CommandNeeds, _ found: Permissions) {
    let needs = command.needs(found)
    let refused = CommandNeeds.words(needs.filter { $0.answer == .refused }.map(\.act))
    let unknown = CommandNeeds.words(needs.filter { $0.answer == .unknown }.map(\.act))
    let answer: Permissions.Answer =
      !refused.isEmpty ? .refused : unknown.isEmpty ? .allowed : .unknown
    report.commands[command.name] = answer
    switch answer {
    case .allowed: report.add(command.name, .ok, "may be done")
    case .unknown:
      report.add(command.name, .info, "cannot be told: \(unknown)")
    case .refused:
      let sentence = "these credentials may not \(refused)"
      let wanted = environment.arguments.strings("for")
      if wanted.isEmpty ? command.isOptional : !wanted.contains(command.name) {
        report.add(command.name, .info, sentence)
      } else {
        report.add(
          command.name, .failed, sentence, advice: "docs/security.md has the policy that allows it",
          code: .refused)
      }
    }
  }
}
