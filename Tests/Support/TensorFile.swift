/// A safetensors file of tensors of one type, each with its shape and its bytes.
public func safetensorsFile(
  _ tensors: [(name: String, shape: [Int], bytes: [UInt8])], dtype: String = "F32"
) -> [UInt8] {
  var (members, data): ([String], [UInt8]) = ([], [])
  for tensor in tensors {
    let end = data.count + tensor.bytes.count
    members.append(
      "\"\(tensor.name)\":{\"dtype\":\"\(dtype)\",\"shape\":\(tensor.shape),\"data_offsets\":[\(data.count),\(end)]}"
    )
    data += tensor.bytes
  }
  let header = Array("{\(members.joined(separator: ","))}".utf8)
  return (0..<8).map { UInt8(truncatingIfNeeded: header.count >> (8 * $0)) } + header + data
}
