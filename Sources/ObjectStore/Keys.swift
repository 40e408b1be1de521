/// The calls of `ObjectStore`, as errors and scripted faults name them.
public enum StoreOperation: String, CaseIterable, Hashable, Sendable {
  case put, get, read, head, list, delete, beginMultipart, uploadPart, copyPart, complete, abort, listUploads
  case lifecycle, setLifecycle, thaw, retention, lock
  /// Not of the contract: what makes a bucket before there is a store.
  case createBucket = "create the bucket"
}

/// Whether a text is a key as the contract of `ObjectStore` asks for.
func isKey(_ text: String) -> Bool {
  let bytes = text.utf8
  guard (1...1024).contains(bytes.count),
    !bytes.contains(where: { $0 < 32 || $0 == 127 || $0 == UInt8(ascii: "\\") })
  else { return false }
  return bytes.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false).allSatisfy { component in
    (1...255).contains(component.count) && !component.elementsEqual(".".utf8)
      && !component.elementsEqual("..".utf8)
  }
}

/// Throws `.refused` with the code `InvalidKey` where a text is no key.
func requireKey(_ key: String, for operation: StoreOperation) throws {
  guard isKey(key) else {
    throw StoreError.refused(
      operation: operation.rawValue, key: key, status: 0, code: "InvalidKey",
      message:
        "a key is a relative path of 1 to 1,024 bytes without backslashes and empty, '.' or '..' components")
  }
}

extension String {
  /// Whether the text begins with the bytes of `prefix`. Unlike `hasPrefix` it does not hold composed and decomposed letters for
  /// the same: stores compare bytes.
  func hasBytePrefix(_ prefix: String) -> Bool { utf8.starts(with: prefix.utf8) }

  /// The order of listings.
  func precedesBytewise(_ other: String) -> Bool { utf8.lexicographicallyPrecedes(other.utf8) }
}
