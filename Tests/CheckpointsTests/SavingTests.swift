import Glibc
import Platform
import TestSupport
import Testing

@testable import Checkpoints

@Suite("Saves that are under way") struct SavingTests {
  private let scratch: Scratch
  private let path: String

  init() throws {
    scratch = try Scratch()
    path = try scratch.copy("hf_full/checkpoint-10", as: "checkpoint-10")
    for entry in try Tree.scan(path).entries { try setModified(entry.path.display, 1_700_000_000) }
  }

  private func setModified(_ name: String, _ seconds: Int) throws {
    var times = [timespec(tv_sec: seconds, tv_nsec: 0), timespec(tv_sec: seconds, tv_nsec: 0)]
    let code = utimensat(AT_FDCWD, "\(path)/\(name)", &times, 0)
    try #require(code == 0)
  }

  /// What is seen so many seconds after the last change of a file.
  private func saving(after seconds: Int64, writers: [OpenWriter] = [], earlier: Tree? = nil) throws
    -> Saving?
  {
    let inspection = try Inspection(path)
    let changed = try #require(inspection.tree.files.compactMap(\.file?.changed).max())
    return inspection.saving(
      defects: inspection.defects, writers: writers,
      now: Timestamp(nanoseconds: changed.nanoseconds + seconds * 1_000_000_000), earlier: earlier)
  }

  /// What is seen so many seconds after a moment of the files' own times.
  private func saving(at seconds: Int64) throws -> Saving? {
    let inspection = try Inspection(path)
    return inspection.saving(defects: inspection.defects, writers: [], now: Timestamp(seconds: seconds))
  }

  private func relative(_ name: String) throws -> RelativePath { try RelativePath(name) }

  private func writer(of name: String) throws -> OpenWriter {
    let file = try #require(try Tree.scan(path).entry(RelativePath(name))?.file)
    return OpenWriter(file: FileIdentity(file), pid: 123, program: "python3")
  }

  @Test("a whole checkpoint that nobody writes to is not being written, however new it is")
  func whole() throws {
    for seconds in [-30, 0, 3, 1000] as [Int64] { #expect(try saving(after: seconds) == nil) }
    #expect(try saving(after: 0, earlier: try Tree.scan(path)) == nil)
  }

  @Test("a file that another process has open for writing is a save under way; a log is not")
  func open() throws {
    let found = try saving(after: 100, writers: [try writer(of: "model.safetensors")])
    #expect(found == .open(file: try relative("model.safetensors"), pid: 123, program: "python3"))
    #expect(found?.words == "python3, pid 123, has model.safetensors open")
    for log in ["runs/events.out.tfevents.17.host", "train.log", "logging.jsonl"] {
      try scratch.write("checkpoint-10/\(log)", "x")
      #expect(try saving(after: 100, writers: [try writer(of: log)]) == nil, "\(log)")
    }
  }

  @Test("a file that grows, comes or goes between two looks is a save under way; a log is not")
  func changing() throws {
    var before = try Tree.scan(path)
    try scratch.write("checkpoint-10/train.log", "x")
    #expect(try saving(after: 100, earlier: before) == nil)
    try scratch.write("checkpoint-10/more.bin", "x")
    #expect(try saving(after: 100, earlier: before) == .changing(file: try relative("more.bin")))
    before = try Tree.scan(path)
    truncate("\(path)/more.bin", 100)
    #expect(try saving(after: 100, earlier: before) == .changing(file: try relative("more.bin")))
    before = try Tree.scan(path)
    try scratch.remove("checkpoint-10/more.bin")
    #expect(try saving(after: 100, earlier: before) == .changing(file: try relative("more.bin")))
  }

  @Test("without the file that is written last, new files are a save under way and old ones are not")
  func unfinished() throws {
    try scratch.remove("checkpoint-10/trainer_state.json")
    guard case .unfinished(_, let seconds)? = try saving(after: 3) else {
      Issue.record("it was not seen")
      return
    }
    #expect((2.9...3.1).contains(seconds))
    #expect(try saving(after: 59) != nil)
    #expect(try saving(after: 61) == nil)
    #expect(try saving(after: -5) == nil, "a time in the future proves nothing")
  }

  @Test("a torn file beside the file that is written last is torn, however new it is")
  func torn() throws {
    truncate("\(path)/optimizer.pt", 1000)
    #expect(try !Inspection(path).isComplete)
    #expect(try saving(after: 1) == nil)
  }

  @Test("a torn file of a layout without such a file is being written where it is new")
  func unmarked() throws {
    let file = try scratch.copy("plain_torch/ckpt_step_000012.pt", as: "ckpt_step_000012.pt")
    truncate(file, 1000)
    let inspection = try Inspection(file)
    let changed = try #require(inspection.tree.files.first?.file?.changed)
    func saving(_ after: Int64) -> Saving? {
      inspection.saving(
        defects: inspection.defects, writers: [],
        now: Timestamp(nanoseconds: changed.nanoseconds + after * 1_000_000_000))
    }
    #expect(saving(2) != nil)
    #expect(saving(100) == nil)
  }

  @Test(
    "what is newer than trainer_state.json is a save into its place only as far as it is in the order of a save",
    arguments: [
      (["model.safetensors"], "model.safetensors"),
      (["model.safetensors", "training_args.bin", "optimizer.pt"], "optimizer.pt"),
      // As a download by many connections leaves it: what is small was first.
      (["model.safetensors", "optimizer.pt"], nil), (["optimizer.pt"], nil), (["training_args.bin"], nil),
      (["rng_state.pth", "config.json"], nil),
    ] as [([String], String?)])
  func replacing(_ newer: [String], _ expected: String?) throws {
    for (index, name) in newer.enumerated() { try setModified(name, 1_700_000_010 + index) }
    let sign = try expected.map {
      Saving.replacing(file: try relative($0), marker: try relative("trainer_state.json"))
    }
    #expect(try saving(at: 1_700_000_100) == sign)
    #expect(try saving(at: 1_700_000_000) == nil, "a time in the future proves nothing")
    #expect(try saving(at: 1_700_010_000) == nil, "after an hour nobody saves")
    let notices = try Inspection(path).contentNotices()
    #expect(
      try notices
        == (expected.map {
          [Notice(try relative($0), .newerThanMarker("trainer_state.json", seconds: 9 + newer.count))]
        } ?? []))
  }

  @Test("two seconds of disorder are nothing: clocks and file systems have that")
  func slack() throws {
    try setModified("model.safetensors", 1_700_000_002)
    #expect(try saving(at: 1_700_000_003) == nil)
    try setModified("model.safetensors", 1_700_000_003)
    #expect(try saving(at: 1_700_000_003) != nil)
  }

  @Test("parts that are newer than the .metadata of torch.distributed.checkpoint are a save into its place")
  func distributed() throws {
    let step = try scratch.copy("dcp_fsdp2", as: "dcp")
    let tree = try Tree.scan(step)
    let marker = try #require(tree.files.first { $0.path.name == ".metadata" })
    let part = try #require(tree.files.first { $0.path.name.hasSuffix(".distcp") })
    for entry in tree.files {
      var times = Array(
        repeating: timespec(tv_sec: 1_700_000_000 + (entry.path == part.path ? 9 : 0), tv_nsec: 0), count: 2)
      utimensat(AT_FDCWD, "\(step)/\(entry.path.display)", &times, 0)
    }
    let inspection = try Inspection(step)
    func saving(_ seconds: Int64) -> Saving? {
      inspection.saving(defects: [], writers: [], now: Timestamp(seconds: seconds))
    }
    #expect(saving(1_700_000_020) == .replacing(file: part.path, marker: marker.path))
    #expect(saving(1_700_000_200) == nil)
  }
}
