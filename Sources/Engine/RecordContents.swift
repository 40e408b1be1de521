import Checkpoints
import Platform
import Repository

extension RecordDocument {
  /// Takes over what a layout tells of a checkpoint.
  mutating func adopt(_ findings: Findings) {
    parts = Dictionary(
      findings.parts.map { ($0.key.rawValue, Part($0.value)) }, uniquingKeysWith: { first, _ in first })
    use = findings.use.rawValue
    parallelism = findings.parallelism == .init() ? nil : findings.parallelism
    base = findings.base
    notices = findings.notices.map(\.sentence)
    guard !findings.modules.isEmpty else { return }
    modules = findings.modules
    parameters = findings.modules.reduce(0) { $0.addingReportingOverflow($1.parameters).partialValue }
    dtypes = Set(findings.modules.flatMap(\.dtypes)).sorted()
  }

  /// Names the least validation loss up to here as the best, where the training itself names none.
  mutating func findBest() {
    guard best == nil else { return }
    for name in ["eval_loss", "val_loss"] {
      guard let point = curves?[name]?.filter({ $0.count == 2 }).min(by: { $0[1] < $1[1] }) else { continue }
      best = Best(metric: name, value: point[1], step: Int(exactly: point[0]), greaterIsBetter: false)
      return
    }
  }

  /// Adds what another process's record of the same checkpoint tells; what both tell stays as it is.
  mutating func add(_ other: RecordDocument) {
    best = best ?? other.best
    resumable = resumable || other.resumable
    metrics.merge(other.metrics) { first, _ in first }
    hyperparameters.merge(other.hyperparameters) { first, _ in first }
    results.merge(other.results) { first, _ in first }
    versions.merge(other.versions) { first, _ in first }
    if trainingLog.isEmpty { trainingLog = other.trainingLog }
    base = base ?? other.base
    environment = environment ?? other.environment
    parallelism = parallelism ?? other.parallelism
    if curves?.isEmpty ?? true { curves = other.curves }
    if modules == nil { (modules, parameters, dtypes) = (other.modules, other.parameters, other.dtypes) }
    notices = (notices ?? []) + (other.notices ?? []).filter { !(notices ?? []).contains($0) }
    guard let theirs = other.parts else { return }
    let joined = (parts ?? [:]).merging(theirs) { $0.joined(with: $1) }
    parts = joined
    let found = Set(joined.keys.compactMap(Findings.Part.init(rawValue:)))
    use = Findings.Use(parts: found).rawValue
  }
}

extension RecordDocument {
  /// Takes out the parts whose files are not in a manifest, as far as they are named, and says what can be done with the rest.
  mutating func keepParts(of manifest: Manifest) {
    guard let parts else { return }
    let paths = Set(manifest.files.map(\.path.display))
    let rest = parts.filter { $0.value.files.allSatisfy(paths.contains) }
    self.parts = rest
    use = Findings.Use(parts: Set(rest.keys.compactMap(Findings.Part.init(rawValue:)))).rawValue
  }
}

extension RecordDocument.Part {
  /// Both parts' files. What several processes see counts once, as far as it is named.
  fileprivate func joined(with other: Self) -> Self {
    if self == other { return self }
    var joined = self
    let names = Set(files).union(other.files).sorted()
    let shared = Set(files).intersection(other.files).count
    joined.files = Array(names.prefix(Self.maximumNames))
    let sum = max(0, count).addingReportingOverflow(max(0, other.count) - shared).partialValue
    joined.count = max(count, other.count, sum)
    if count == files.count, other.count == other.files.count { joined.count = names.count }
    return joined
  }
}
