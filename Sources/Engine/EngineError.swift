import Checkpoints
import ObjectStore
import Platform
import Repository

/// Why a command could not do what it was asked, as data.
public enum EngineError: Error, Sendable {
  /// The checkpoint has defects, each as one sentence.
  case incomplete(path: String, defects: [String])
  /// The checkpoint is still being written, as `sign` tells; `defects` are what it lacks so far, each as one sentence.
  case stillBeingWritten(path: String, defects: [String], sign: Saving)
  /// Another process writes to what stands under the name that a snapshot is to get.
  case nameInUse(path: String, sign: Saving)
  /// Entries were skipped and `--strict` was given.
  case skipped(path: String, entries: [String])
  /// A file was written to while it was read.
  case changedWhileRead(path: String)
  /// A file or directory disappeared while it was read: rotated away.
  case vanished(path: String)
  /// There is no regular file at the path.
  case nothingToPush(path: String)
  /// A file for the archive record has more bytes than a record's file may.
  case tooLargeForRecord(path: String, size: Int, limit: Int)
  /// A file for the archive record is called JSON and is none, so that its secrets cannot be found.
  case notJSON(path: String)
  /// A run's name cannot be stored.
  case badRun(String)
  /// An address that names no snapshot; `hint` says what there is.
  case notFound(address: String, hint: String)
  /// An address that names several.
  case ambiguous(address: String, ids: [String])
  /// A text that is no address.
  case badAddress(String)
  /// The repository lacks or has damaged what is needed.
  case damaged([Damage])
  /// Packs are in an archive class; they were asked for, and everything else was done.
  case frozen(ThawReport)
  /// Something stands at the target.
  case targetExists(path: String)
  /// A target without a name of its own, such as `.` or `/`.
  case badTarget(path: String)
  /// Another file system begins at the target.
  case targetIsMountPoint(path: String)
  /// Another restore works on the same target.
  case targetBusy(path: String)
  /// The target's file system is too full; both in bytes.
  case noRoom(path: String, needed: Int, free: Int)
  /// A rank that none of the processes of the snapshot's training had.
  case noSuchRank(Int, worldSize: Int)
  /// A selection that leaves nothing to restore.
  case nothingSelected
  /// Training cannot go on from anything in a directory or of a run; `hint` says what there is.
  case nothingToResume(directory: String, run: String, hint: String)
  /// A snapshot does not fit where training is to go on, and `--strict` was given.
  case unfit([FitWarning])
  /// Two of the processes that push together have different content under one path.
  case ranksDisagree(path: String, ranks: [Int])
  /// Prunes kept condemning what a push was using.
  case keptCondemned
  /// Objects were to be locked, and the repository's place cannot do that.
  case cannotLock(place: String)
  /// A snapshot is committed, and some of the objects that it needs could not be locked: each key with the reason; `locked` could.
  case notLocked(snapshot: String, locked: Int, failures: [String: StoreError])
  /// A copy's target takes chunks up to `limit` bytes only, and the source has longer ones.
  case chunksTooLong(Int, limit: Int)
  /// A deletion was refused since what is there is not known for sure.
  case unsafeToDelete(reason: String)
  /// An object is in the store, long since, and a listing lacks it: nobody knows what else it lacks.
  case shortListing(lacks: String)
}
