import Checkpoints
import FoundationEssentials
import Glibc
import Platform
import TestSupport

/// The readers of what frameworks write. Files lie in `scratch`, which should be in memory.
func checkpointDecoders(_ scratch: String) throws -> [Decoder] {
  let deep = "checkpoint-10"
  let torch = [
    "hf_full/\(deep)/scheduler.pt", "hf_full/\(deep)/rng_state.pth",
    "broken/optimizer_flip_zip64_offset/\(deep)/rng_state.pth",
  ]
  let states = ["hf_full/\(deep)/trainer_state.json"]
  let index = "hf_sharded/checkpoint-4/model.safetensors.index.json"
  return [
    Decoder(
      name: "safetensors", share: 150,
      seeds: [
        try header("hf_full/\(deep)/model.safetensors"),
        try header("hf_sharded/checkpoint-4/model-00001-of-00003.safetensors"),
      ],
      isText: false, bombs: [{ manyTensors }],
      read: { bytes in
        let file = try Safetensors(reading: try write(bytes, scratch))
        if file.defect == nil, file.expectedSize != bytes.count {
          throw Broken(rule: "the tensors fill the file")
        }
      }),
    Decoder(
      name: "safetensors json", share: 100,
      seeds: [try headerJSON("hf_full/\(deep)/model.safetensors")], isText: true,
      wrap: { bytes, _ in (0..<8).map { UInt8(truncatingIfNeeded: bytes.count >> (8 * $0)) } + bytes },
      read: { _ = try Safetensors(reading: try write($0, scratch)).defect }),
    Decoder(
      name: "torch zip", share: 150, seeds: try torch.map(fixture), isText: false,
      read: { bytes in
        let file = try write(bytes, scratch)
        let zip = try TorchZip(reading: file)
        for entry in zip.entries.prefix(8) { _ = try zip.bytes(of: entry, in: file, limit: 1 << 20) }
      }),
    Decoder(
      name: "pickle", share: 100,
      seeds: try [
        fixture("dcp_fsdp2/step-3/.metadata"), pickle("plain_torch/views.pt"),
        pickle("hf_full/\(deep)/training_args.bin"),
      ],
      isText: false, bombs: [{ [UInt8](repeating: 0x5d, count: 16 << 20) + [0x2e] }, { manyMemos }],
      read: { bytes in
        let root = try Pickle(bytes).root
        _ = root.json
        for (_, value) in (root.entries ?? []).prefix(1000) {
          guard let tensor = TorchTensor(value) else { continue }
          if tensor.count * tensor.itemSize < 0 { throw Broken(rule: "a tensor has a size") }
        }
      }),
    Decoder(
      name: "trainer state", share: 60, seeds: try states.map(fixture), isText: true, bombs: [{ longLog }],
      read: { bytes in
        let state = try JSONValue(parsingTrainerState: try maskingSecrets(in: bytes))
        let log = TrainerLog(state: state, arguments: nil)
        guard log.metrics.values.allSatisfy(\.isFinite) else { throw Broken(rule: "metrics are finite") }
        _ = log.best
      }),
    Decoder(
      name: "event file", share: 60, seeds: [try fixture(events)], isText: false,
      read: { bytes in
        var file = EventFile(try write(bytes, scratch))
        try file.scalars { _, _, _ in }
      }),
    Decoder(
      // Behind the checksums, which hardly any mutated record passes.
      name: "event", share: 60, seeds: [Array(try fixture(events)[4411..<4443])], isText: false,
      read: { bytes in
        var isWrong = false
        EventFile.scalars(ofEvent: bytes[...]) { tag, step, _ in
          if tag.isEmpty || step < 0 { isWrong = true }
        }
        if isWrong { throw Broken(rule: "a scalar has a tag and a step") }
      }),
    Decoder(
      name: "json", share: 100, seeds: try [fixture(index), fixture("hf_full/\(deep)/config.json")],
      isText: true,
      bombs: [{ Array("[\(String(repeating: "0,", count: 900_000))0]".utf8) }],
      read: { bytes in
        let value = try JSONValue(parsing: bytes)
        guard value == value else { throw Broken(rule: "a value equals itself") }
      }),
    Decoder(
      name: "checkpoint", share: 3, seeds: try tree.map { try fixture("hf_sharded/checkpoint-4/\($0)") },
      isText: true,
      wrap: { bytes, mutator in [UInt8(mutator.below(tree.count))] + bytes },
      read: { bytes in try inspect(bytes, scratch) }),
  ]
}

private let events = "hf_full/runs/Nov23_23-58-04_vm/events.out.tfevents.1795478284.vm.8847.0"

/// The files of a small checkpoint, of which one at a time is changed.
private let tree = [
  "model.safetensors.index.json", "trainer_state.json", "config.json", "model-00001-of-00003.safetensors",
  "scheduler.pt",
]

/// Looks at a copy of a real checkpoint, one of whose files has other bytes.
private func inspect(_ bytes: [UInt8], _ scratch: String) throws {
  let place = "\(scratch)/checkpoint-4"
  let files = FileManager.default
  try? files.removeItem(atPath: place)
  try files.copyItem(atPath: "\(fixtures)/hf_sharded/checkpoint-4", toPath: place)
  let name = tree[Int(bytes.first ?? 0) % tree.count]
  try Data(bytes.dropFirst()).write(to: URL(filePath: "\(place)/\(name)"))
  let inspection = try Inspection(place)
  _ = inspection.contentNotices()
  _ = try DeepCheck(inspection).run()
  guard inspection.findings.metrics.values.allSatisfy(\.isFinite) else {
    throw Broken(rule: "metrics are finite")
  }
}

private func fixture(_ path: String) throws -> [UInt8] {
  Array(try Data(contentsOf: URL(filePath: "\(fixtures)/\(path)")))
}

/// The beginning of a safetensors file: length and header, and a few bytes of tensors.
private func header(_ path: String) throws -> [UInt8] { Array(try fixture(path).prefix(4096)) }

/// The JSON of a safetensors file's header alone.
private func headerJSON(_ path: String) throws -> [UInt8] {
  let bytes = try fixture(path)
  let length = bytes.prefix(8).reversed().reduce(0) { $0 << 8 | Int($1) }
  return Array(bytes.dropFirst(8).prefix(length))
}

private func write(_ bytes: [UInt8], _ scratch: String) throws -> OpenFile {
  let path = "\(scratch)/input"
  let descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0o600)
  guard descriptor >= 0, Glibc.write(descriptor, bytes, bytes.count) == bytes.count, close(descriptor) == 0
  else {
    throw SystemError.last("write", path)
  }
  return try OpenFile(path)
}

/// A header of as many tensors as its size allows.
private var manyTensors: [UInt8] {
  let json =
    "{"
    + (0..<120_000).map { "\"\($0)\":{\"dtype\":\"U8\",\"shape\":[],\"data_offsets\":[0,0]}" }
    .joined(separator: ",") + "}"
  return (0..<8).map { UInt8(truncatingIfNeeded: json.utf8.count >> (8 * $0)) } + Array(json.utf8)
}

/// A log of many rows, each with an evaluation of its own name.
private var longLog: [UInt8] {
  let rows = (0..<60_000).map { "{\"eval_\($0)\":1e308,\"loss\":NaN,\"step\":\($0)}" }
  return Array("{\"best_metric\":1e308,\"log_history\":[\(rows.joined(separator: ","))]}".utf8)
}

/// The pickle in a torch file.
private func pickle(_ name: String) throws -> [UInt8] {
  let file = try OpenFile("\(fixtures)/\(name)")
  let zip = try TorchZip(reading: file)
  guard let entry = zip.entry("data.pkl") else { throw Broken(rule: "a torch file has a pickle") }
  return try zip.bytes(of: entry, in: file, limit: 1 << 20)
}

/// Stores one value under ever new numbers.
private var manyMemos: [UInt8] {
  [0x4e]
    + (0..<3_000_000).flatMap { number in
      [0x72] + (0..<4).map { UInt8(truncatingIfNeeded: number >> (8 * $0)) }
    } + [0x2e]
}
