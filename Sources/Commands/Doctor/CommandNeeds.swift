import ObjectStore

/// What a command must be allowed to do (docs/security.md).
struct CommandNeeds {
  /// The command.
  let name: String
  /// Whether it is fine that some nodes may not.
  let isOptional: Bool
  private let folders: [String]
  private let deletes: [String]
  private let writes: Bool

  /// The commands that credentials are told apart by.
  static let all = [
    CommandNeeds(
      name: "push", isOptional: false,
      folders: ["packs", "manifests", "records", "snapshots"], deletes: [], writes: true),
    CommandNeeds(
      name: "restore", isOptional: false, folders: [], deletes: [], writes: false),
    CommandNeeds(
      name: "verify", isOptional: false, folders: [], deletes: [], writes: false),
    CommandNeeds(
      name: "prune", isOptional: true, folders: ["deletions"],
      deletes: ["packs", "manifests", "records", "snapshots", "deletions"], writes: true),
  ]

  /// Something to be allowed to do, perhaps in one folder of the repository.
  struct Act {
    let verb: String
    var folder: String?
  }

  /// `list, write packs/ manifests/, delete`: each verb once.
  static func words(_ acts: [Act]) -> String {
    var verbs: [String] = []
    for act in acts where !verbs.contains(act.verb) { verbs.append(act.verb) }
    return verbs.map { verb in
      ([verb] + acts.filter { $0.verb == verb }.compactMap(\.folder)).joined(separator: " ")
    }.joined(separator: ", ")
  }

  /// Each thing that it must be allowed to do, and whether it is.
  func needs(_ found: Permissions) -> [(act: Act, answer: Permissions.Answer)] {
    var needs = [(act: Act(verb: "list"), answer: found.list), (act: Act(verb: "read"), answer: found.read)]
    if writes {
      needs += each(folders, found, \.write, found.write, "write")
      if deletes.isEmpty { needs.append((act: Act(verb: "write in parts"), answer: found.multipart)) }
    }
    if !deletes.isEmpty { needs += each(deletes, found, \.delete, found.delete, "delete") }
    return needs
  }

  /// The answer for each folder, as far as it was tried; else that of the doctor's own folder.
  private func each(
    _ names: [String], _ found: Permissions, _ path: KeyPath<Permissions.Folder, Permissions.Answer>,
    _ general: Permissions.Answer, _ verb: String
  ) -> [(act: Act, answer: Permissions.Answer)] {
    names.map { name in
      let answer = found.folders.first { $0.name == name }?[keyPath: path] ?? .unknown
      return answer == .unknown
        ? (act: Act(verb: verb), answer: general) : (act: Act(verb: verb, folder: "\(name)/"), answer: answer)
    }
  }
}
