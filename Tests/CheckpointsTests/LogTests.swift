import Glibc
import Platform
import TestSupport
import Testing

@testable import Checkpoints

@Suite("Training logs") struct LogTests {
  private func facts(_ path: String) throws -> ArchiveFacts {
    ArchiveFacts(of: try Inspection("\(fixtures)/\(path)"))
  }

  private func scalars(_ path: String) throws -> [(tag: String, step: Int, value: Double)] {
    var file = EventFile(try OpenFile(path))
    var found: [(String, Int, Double)] = []
    try file.scalars { found.append(($0, $1, $2)) }
    return found
  }

  private let events = fixtures + "/hf_full/runs/Nov23_23-58-04_vm/events.out.tfevents.1795478284.vm.8847.0"

  @Test("an event file of TensorBoard holds the values that the Trainer's own log holds")
  func tensorBoard() throws {
    let losses = try scalars(events).filter { $0.tag == "train/loss" }
    let log = try facts("hf_full/checkpoint-20").trainingLog.filter { $0["loss"] != nil }
    #expect(losses.map(\.step) == log.compactMap { $0["step"]?.integer })
    for (loss, row) in zip(losses, log) {
      #expect(abs(loss.value - (row["loss"]?.number ?? 0)) < 1e-6)
    }
  }

  @Test(
    "of an event file that is cut or has one wrong bit, all is read that is whole and nothing that is wrong"
  )
  func hostile() throws {
    let whole = try scalars(events)
    let bytes = try OpenFile(events).bytes(at: 0, count: 1 << 20)
    let scratch = try Scratch()
    var random = Seeded(seed: 7)
    for _ in 0..<60 {
      let place = Int.random(in: 0..<bytes.count, using: &random)
      let cut = try scalars(try scratch.write("cut", Array(bytes[..<place])))
      #expect(zip(cut, whole).allSatisfy { $0 == $1 } && cut.count <= whole.count)
      var flipped = bytes
      flipped[place] ^= 1 << UInt8.random(in: 0..<8, using: &random)
      let read = try scalars(try scratch.write("flipped", flipped))
      let lost = whole.count - read.count
      #expect((0...whole.count).contains(lost) && (lost > 0 || read.elementsEqual(whole, by: ==)))
      #expect(read.allSatisfy { scalar in whole.contains { $0 == scalar } })
    }
  }

  @Test("curves end at the checkpoint's step, and come from the log, then from TensorBoard")
  func curves() throws {
    let curves = try facts("hf_full/checkpoint-10").curves
    #expect(curves["loss"]?.count == 10 && curves["loss"]?.first == [1, 4.169795513153076])
    #expect(curves["eval_loss"]?.last?.first == 10 && curves["epoch"] == nil)
    let scratch = try Scratch()
    let path = try scratch.copy("hf_full", as: "run") + "/checkpoint-10"
    unlink(path + "/trainer_state.json")
    let found = ArchiveFacts(of: try Inspection(path)).curves
    #expect(found["loss"]?.map { $0[0] } == curves["loss"]?.map { $0[0] })
    #expect(found["eval_loss"]?.count == curves["eval_loss"]?.count)
  }

  @Test("without a state, the rows of ms-swift's log are the training's")
  func swiftLog() throws {
    let scratch = try Scratch()
    let path = try scratch.copy("swift_lora/v0-20261124-002320", as: "run") + "/checkpoint-12"
    unlink(path + "/trainer_state.json")
    let facts = ArchiveFacts(of: try Inspection(path))
    #expect(facts.trainingLog.first?["step"]?.integer == 1)
    #expect(facts.trainingLog.first?["loss"]?.number == 4.19557667)
    #expect(facts.curves["eval_loss"]?.first?[0] == 4)
  }

  @Test("the curves of Lightning come from its metrics.csv, which the record keeps")
  func lightning() throws {
    let facts = try facts("lightning/checkpoints/epoch=1-step=8.ckpt")
    #expect(facts.curves["train_loss"]?.first == [1, 0.4061874449253082])
    #expect(facts.curves["val_loss"]?.first == [3, 0.41826993227005005])
    #expect(facts.curves["train_loss"]?.allSatisfy { $0[0] <= 8 } == true)
    #expect(facts.files.map(\.name) == ["metrics.csv"])
    #expect(!facts.hyperparameters.isEmpty)
  }

  @Test(
    "a long curve is thinned to a thousand points with the first and the last, and few of many curves are kept"
  )
  func thinned() {
    var curves = Curves(lastStep: nil)
    for step in 0..<50_000 { curves.add("loss", step, Double(step)) }
    for name in 0..<1000 { curves.add("m\(name)", 1, 1) }
    curves.add("grad_norm", 1, .nan)
    let points = curves.points
    #expect(points.count == 64 && points["loss"]?.count == 1000 && points["grad_norm"] == nil)
    #expect(points["loss"]?.first == [0, 0] && points["loss"]?.last == [49_999, 49_999])
  }

  @Test("of two values for a step the later one counts, so that a resumed run has one curve")
  func resumed() {
    var curves = Curves(lastStep: 5)
    for (step, value) in [(1, 1.0), (2, 2), (3, 3), (2, 20), (6, 6)] { curves.add("loss", step, value) }
    #expect(curves.points["loss"] == [[1, 1], [2, 20], [3, 3]])
  }

  @Test("a log's lines that are no rows, too long or hold too many values are left out, and the others read")
  func lines() {
    let many = "{\"a\": [\(String(repeating: "0,", count: 20_000))0]}"
    let long = "{\"a\": \"\(String(repeating: "x", count: 1 << 20))\"}"
    let text =
      "{\"step\": 1, \"api_key\": \"SECRET\"}\n\nno\n[1]\n\(many)\n\(long)\n{\"global_step\": 2}\n{\"step\""
    let rows = LogText.rows(jsonLines: Array(text.utf8))
    #expect(rows.map { $0["step"]?.integer } == [1, 2] && rows[0]["api_key"]?.text == JSONValue.mask)
    let csv = LogText.rows(csv: Array("step,loss,name\r\n1,0.5,x\r\n\r\n2,,\r\n3,nan,1,2,3".utf8))
    #expect(
      csv.map { $0["step"]?.integer } == [1, 2, 3]
        && csv[0] == .object(["step": .integer(1), "loss": .double(0.5)]))
  }
}
