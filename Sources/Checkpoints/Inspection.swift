import Platform

/// What a look at a checkpoint found out: its layout, its step, whether it is whole.
public struct Inspection: Sendable {
  /// The files, links and directories.
  public let tree: Tree
  /// Where it lies.
  public let place: Place
  /// What the layout told.
  public let findings: Findings
  /// Everything that keeps it from being whole; empty for a good checkpoint.
  public let defects: [Defect]
  /// Tells each file's class.
  public let classifier: Classifier
  /// Its `trainer_state.json`, the log thinned and secrets masked; nil where there is none that can be read.
  let trainerState: JSONValue?

  /// The layout's name, for example `hf_trainer+peft`, `torch_file`, `plain`.
  public var layout: String { findings.layout }
  /// The training step, or nil where nothing tells it.
  public var step: Int? { findings.step }
  /// The run's name that is used where the user gives none.
  public var suggestedRun: String { place.run }
  /// True where no defect was found.
  public var isComplete: Bool { defects.isEmpty }

  /// Names of directories in it that look like checkpoints themselves: somebody named the run's directory.
  public var innerCheckpoints: [String] {
    tree.entries.filter { entry in
      if case .directory = entry.kind { entry.path.parent == nil } else { false }
    }.map(\.path.name).filter { Place("/" + $0, isFile: false).step != nil }
  }

  /// Looks at a directory or file; reads headers and small JSON files only. Throws `SystemError` where `path` cannot be
  /// opened; what is wrong inside is told by `defects`.
  public init(_ path: String) throws(SystemError) { try self.init(path, layouts: knownLayouts) }

  init(_ path: String, layouts: [any Layout]) throws(SystemError) {
    let tree = try Tree.scan(path)
    let place = try Place(resolving: path, isFile: tree.isSingleFile)
    let reader = CheckpointReader(tree: tree, place: place)
    let layout = layouts.first { $0.recognises(reader) } ?? Plain()
    var findings = layout.inspect(reader)
    findings.modules = ModuleCensus(reader: reader).modules(of: findings)
    let ownName: [Defect] = isStaging(place.name) ? [Defect(nil, .staging)] : []
    // A layout may say of a file what its own check said already.
    var defects: [Defect] = []
    for defect in ownName + FileChecks(reader: reader).defects() + findings.defects
    where !defects.contains(defect) {
      defects.append(defect)
    }
    self.tree = tree
    self.place = place
    self.findings = findings
    self.defects = defects
    self.classifier = Classifier(tree)
    self.trainerState = reader.value(trainerStateName)
  }
}
