import Checkpoints
import Glibc
import Platform

/// The checkpoints in a run's directory, from the newest down to the first that training can go on from.
struct LocalCheckpoints: Sendable {
  /// An entry of the directory that is called like a checkpoint.
  struct Entry: Sendable {
    /// Its path, below the directory as the user named it.
    let path: String
    /// The step in its name.
    let step: Int
  }

  /// The newest that is complete, or nil.
  private(set) var newest: Entry?
  /// Those that are newer and why each is none to go on from, the newest first.
  private(set) var rejected: [(entry: Entry, fault: Resume.Fault)] = []

  /// Looks at a directory; one that is not there has no checkpoints. Throws `SystemError` where it cannot be read.
  init(in directory: String) throws {
    for entry in try Self.entries(of: directory).sorted(by: { ($0.step, $0.path) > ($1.step, $1.path) }) {
      guard let fault = Self.fault(of: entry.path) else {
        newest = entry
        return
      }
      rejected.append((entry, fault))
    }
    newest = Self.whole(directory)
  }

  /// Hidden names are those of restores under way and of what was moved aside.
  private static func entries(of directory: String) throws -> [Entry] {
    let names: [[UInt8]]
    do throws(SystemError) { names = try OpenDirectory(directory).names() } catch {
      guard error.isMissing, access(directory, F_OK) != 0 else { throw error }
      return []
    }
    return names.compactMap { bytes in
      // Only a name that is printed as it is can be used by whoever reads the output.
      guard let path = try? RelativePath(bytes), let name = path.text, name == path.display,
        !name.hasPrefix(".")
      else { return nil }
      let full = Self.join(directory, name)
      var status = stat()
      guard stat(full, &status) == 0 else { return nil }
      let isDirectory = status.st_mode & S_IFMT == S_IFDIR
      guard isDirectory || isListed(name) else { return nil }
      return Place("/" + name, isFile: !isDirectory).step.map { Entry(path: full, step: $0) }
    }
  }

  /// Names of single files that can be checkpoints; others with a number are logs and the like.
  private static let files = [
    ".pt", ".pth", ".bin", ".ckpt", ".safetensors", ".keras", ".h5", ".npz", ".msgpack", ".pkl",
  ]

  /// Whether a single file's name is one that is looked at.
  static func isListed(_ name: String) -> Bool { files.contains(where: name.hasSuffix) }

  /// The directory itself, where it is a checkpoint: the trackers are those of DeepSpeed (`latest`) and Megatron-LM.
  private static func whole(_ directory: String) -> Entry? {
    let trackers = ["latest", "latest_checkpointed_iteration.txt"]
    guard trackers.contains(where: { access(join(directory, $0), F_OK) == 0 }),
      let inspection = try? Inspection(directory), fault(of: inspection) == nil, let step = inspection.step
    else { return nil }
    return Entry(path: directory, step: step)
  }

  private static func fault(of path: String) -> Resume.Fault? {
    do throws(SystemError) {
      let inspection = try Inspection(path)
      let now = Timestamp.now()
      let writers = inspection.isYounger(than: 3600, at: now) ? inspection.writers() : []
      switch inspection.saving(defects: inspection.defects, writers: writers, now: now) {
      // Where a save has only stopped, nobody waits for its end: it is torn.
      case .some(let sign) where inspection.defects.isEmpty || sign.isByAProcess: return .saving(sign)
      default: break
      }
      return fault(of: inspection)
    } catch { return .unreadable(error) }
  }

  private static func fault(of inspection: Inspection) -> Resume.Fault? {
    if let defect = inspection.defects.first { return .defect(defect.sentence) }
    // Of files that no layout knows, nobody can tell whether the save had ended.
    if inspection.layout == "plain" { return .unknownLayout }
    return inspection.findings.use == .inference ? .weightsOnly : nil
  }

  /// A name below a directory, as people write it.
  static func join(_ directory: String, _ name: String) -> String {
    directory.hasSuffix("/") ? directory + name : "\(directory)/\(name)"
  }
}
