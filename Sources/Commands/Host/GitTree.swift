import Glibc
import Platform

/// A Git working tree, read from its files (git-scm.com/docs/gitrepository-layout).
struct GitTree {
  /// The working tree's directory, links resolved.
  let directory: String
  /// Where `HEAD` is.
  private let own: String
  /// Where branches and the configuration are: another directory for linked working trees.
  private let common: String

  /// The tree that holds a path; nil where none does.
  init?(around path: String) {
    guard let resolved = realpath(path, nil) else { return nil }
    var directory = String(cString: resolved)
    free(resolved)
    while true {
      if let own = Self.gitDirectory(of: directory) {
        self.directory = directory.isEmpty ? "/" : directory
        self.own = own
        common =
          smallFile(own + "/commondir").map { Self.resolve(Self.line($0), in: own) } ?? own
        return
      }
      guard !directory.isEmpty else { return nil }
      let parent = PathText.split(directory).parent
      directory = parent == "/" ? "" : parent
    }
  }

  /// `.git`, or where the file of that name points; nil where neither holds a `HEAD`.
  private static func gitDirectory(of directory: String) -> String? {
    let place = directory + "/.git"
    var found = place
    if let text = smallFile(place), text.hasPrefix("gitdir:") {
      found = resolve(line(text.dropFirst("gitdir:".count)), in: directory)
    }
    return smallFile(found + "/HEAD") == nil ? nil : found
  }

  private static func resolve(_ path: String, in directory: String) -> String {
    path.hasPrefix("/") ? path : directory + "/" + path
  }

  private static func line(_ text: some StringProtocol) -> String {
    String(text.prefix { !$0.isNewline }.drop { $0 == " " })
  }

  private var head: String { Self.line(smallFile(own + "/HEAD") ?? "") }

  /// What `HEAD` names, for example `refs/heads/main`.
  private var reference: String? {
    guard head.hasPrefix("ref: ") else { return nil }
    let name = String(head.dropFirst(5))
    return name.hasPrefix("refs/") && !name.split(separator: "/").contains("..") ? name : nil
  }

  /// The branch that is checked out.
  var branch: String? {
    guard let reference, reference.hasPrefix("refs/heads/") else { return nil }
    return String(reference.dropFirst("refs/heads/".count))
  }

  /// The commit that is checked out; nil before the first one, and where the references are kept in another form.
  var commit: String? {
    guard let reference else { return Self.commit(head) }
    for place in [own, common] {
      if let commit = smallFile("\(place)/\(reference)").flatMap({ Self.commit(Self.line($0)) }) {
        return commit
      }
    }
    guard let packed = smallFile(common + "/packed-refs", limit: 16 << 20) else { return nil }
    for line in packed.split(whereSeparator: \.isNewline) where line.hasSuffix(" " + reference) {
      return Self.commit(String(line.dropLast(reference.count + 1)))
    }
    return nil
  }

  private static func commit(_ text: String) -> String? {
    [40, 64].contains(text.utf8.count) && text.allSatisfy { $0.isASCII && $0.isHexDigit } ? text : nil
  }

  /// The address of the remote `origin`, credentials masked.
  var remote: String? {
    guard let text = smallFile(common + "/config") else { return nil }
    var isOrigin = false
    for line in text.split(whereSeparator: \.isNewline) {
      let line = line.drop { $0 == " " || $0 == "\t" }
      if line.hasPrefix("[") { isOrigin = line.hasPrefix("[remote \"origin\"]") }
      guard isOrigin, line.hasPrefix("url"), let equals = line.firstIndex(of: "=") else { continue }
      return withoutCredentials(Self.line(line[line.index(after: equals)...]))
    }
    return nil
  }

  /// Whether files that Git knows differ from the commit, by `git status`; nil where there is no Git, or it takes longer than
  /// `patience` seconds. Files that Git does not know do not count: a checkpoint may be one.
  func isDirty(searchPath: String?, patience: Double) -> Bool? {
    guard let git = executable("git", in: searchPath) else { return nil }
    let words = [
      git, "-c", "core.fsmonitor=false", "-C", directory, "status", "--porcelain", "--untracked-files=no",
      "--ignore-submodules=dirty",
    ]
    // No lock is left where the process has to be ended; nobody is asked for anything.
    let variables = ["GIT_OPTIONAL_LOCKS": "0", "PATH": searchPath ?? "", "LC_ALL": "C"]
    return programOutput(words, variables: variables, seconds: patience, limit: 16 << 20).map { !$0.isEmpty }
  }
}

/// The first program of a name in the directories of a search path; nil where there is none.
func executable(_ name: String, in searchPath: String?) -> String? {
  (searchPath ?? "").split(separator: ":").lazy.map { "\($0)/\(name)" }
    .first { $0.hasPrefix("/") && access($0, X_OK) == 0 }
}
