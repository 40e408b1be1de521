import Platform
import TestSupport
import Testing

@testable import Checkpoints

@Suite("Safetensors") struct SafetensorsTests {
  static let model = fixtures + "/hf_full/checkpoint-10/model.safetensors"

  private func header(_ json: String, data: Int) throws -> Safetensors {
    try Safetensors(header: Array(json.utf8), fileSize: 8 + json.utf8.count + data)
  }

  @Test("a real header gives its tensors in order, and the file is whole")
  func real() throws {
    let file = try Safetensors(reading: open(Self.model))
    #expect(file.dataStart == 2096)
    #expect(file.tensors.count == 21)
    #expect(file.tensors[0].name == "lm_head.weight")
    #expect(file.tensors[0].dtype == "F32")
    #expect(file.tensors[0].shape == [64, 16])
    #expect(file.tensors[0].range == 2096..<6192)
    #expect(file.metadata == ["format": "pt"])
    #expect(file.expectedSize == 31088)
    #expect(file.defect == nil)
  }

  @Test("any truncation of a real file is found, and so are added bytes")
  func truncation() throws {
    let scratch = try Scratch()
    let whole = try contents(Self.model)
    for size in [2096, 2097, 20000, 31087] {
      let file = try Safetensors(reading: open(try scratch.write("cut", whole[..<size])))
      #expect(file.defect == .truncated(expected: 31088, fileSize: size))
    }
    for size in [0, 7, 8, 2095] {
      let needed = size < 8 ? 8 : 2096
      #expect(throws: SafetensorsDefect.headerCut(needed: needed, fileSize: size)) {
        try Safetensors(reading: open(try scratch.write("cut", whole[..<size])))
      }
    }
    let long = try Safetensors(reading: open(try scratch.write("long", whole + [0])))
    #expect(long.defect == .extraTail(expected: 31088, fileSize: 31089))
  }

  @Test("zeros and impossible header lengths are told apart")
  func starts() throws {
    let scratch = try Scratch()
    #expect(throws: SafetensorsDefect.zeros) {
      try Safetensors(reading: open(try scratch.write("zeros", [UInt8](repeating: 0, count: 100))))
    }
    #expect(throws: SafetensorsDefect.headerTooLarge(length: 1 << 40)) {
      try Safetensors(reading: open(try scratch.write("large", [0, 0, 0, 0, 0, 1, 0, 0, 0x7b])))
    }
  }

  @Test("a tensor's place, size and neighbours are checked")
  func places() throws {
    func tensor(_ name: String, _ from: Int, _ to: Int, shape: String = "[2]") -> String {
      #""\#(name)":{"dtype":"BF16","shape":\#(shape),"data_offsets":[\#(from),\#(to)]}"#
    }
    #expect(try header("{\(tensor("a", 0, 4)),\(tensor("b", 4, 8))}", data: 8).defect == nil)
    #expect(
      try header("{\(tensor("b", 4, 8)),\(tensor("a", 0, 4))}  ", data: 8).tensors.map(\.name) == ["a", "b"])
    #expect(try header("{\(tensor("a", 0, 4)),\(tensor("b", 5, 9))}", data: 9).defect == .gap(tensor: "b"))
    #expect(
      try header("{\(tensor("a", 0, 4)),\(tensor("b", 3, 7))}", data: 7).defect == .overlap(tensor: "b"))
    #expect(try header("{\(tensor("a", 0, 5))}", data: 5).defect == .badTensor(name: "a"))
    let huge = "[9223372036854775807,9223372036854775807]"
    #expect(try header("{\(tensor("a", 0, 4, shape: huge))}", data: 4).defect == .badTensor(name: "a"))
    let emptyAndScalar = "{\(tensor("b", 0, 2, shape: "[]")),\(tensor("a", 0, 0, shape: "[0,5]"))}"
    #expect(try header(emptyAndScalar, data: 2).defect == nil)
    #expect(try header("{}", data: 0).defect == nil)
  }

  @Test(
    "what is no header is refused with the place of the error",
    arguments: [
      "", "[]", "{", #"{"a":1}"#, #"{"a":{"dtype":"F32","shape":[1]}}"#,
      #"{"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}"#,
      #"{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}}"#,
      #"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,9223372036854775807]}}"#,
      #"{"__metadata__":{"a":1}}"#, #"{"__metadata__":{},"__metadata__":{}}"#, "{} x",
    ])
  func bad(json: String) {
    #expect(throws: SafetensorsDefect.self) { try header(json, data: 4) }
  }
}
