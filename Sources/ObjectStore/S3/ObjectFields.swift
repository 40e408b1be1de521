import Digests
import Platform

/// How a server encrypts what it stores, by keys that it has itself
/// (docs.aws.amazon.com/AmazonS3/latest/userguide/serv-side-encryption.html).
public enum ServerEncryption: String, CaseIterable, Sendable {
  /// SSE-S3: a key of the server's.
  case managed = "AES256"
  /// SSE-KMS: a key of the key management service.
  case kms = "aws:kms"
  /// DSSE-KMS: two layers, with a key of the key management service.
  case dualLayerKMS = "aws:kms:dsse"
}

/// A key of 256 bits that the server encrypts with and does not keep: SSE-C
/// (docs.aws.amazon.com/AmazonS3/latest/userguide/ServerSideEncryptionCustomerKeys.html). Printing or dumping it shows nothing of it.
public struct CustomerKey: Sendable, CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable
{
  private let bytes: [UInt8]

  /// The key in a file: its 32 bytes, or their Base64, with or without a line break after it. Nil for anything else.
  public init?(file: [UInt8]) {
    if file.count == 32 {
      bytes = file
      return
    }
    let text = file.prefix { $0 != UInt8(ascii: "\n") && $0 != UInt8(ascii: "\r") }
    let rest = file.dropFirst(text.count).allSatisfy { $0 == UInt8(ascii: "\n") || $0 == UInt8(ascii: "\r") }
    guard rest, text.count == 44, let decoded = Digests.bytes(base64: String(decoding: text, as: UTF8.self)),
      decoded.count == 32
    else { return nil }
    bytes = decoded
  }

  /// What a request needs the key for.
  enum Use: String {
    /// The object that it writes or reads.
    case object = "x-amz-"
    /// The object that it copies from.
    case copySource = "x-amz-copy-source-"
  }

  /// The fields by which a request tells the key.
  func fields(_ use: Use) -> [(name: String, value: String)] {
    let name = use.rawValue + "server-side-encryption-customer-"
    return [
      (name: name + "algorithm", value: "AES256"), (name: name + "key", value: base64(bytes)),
      (name: name + "key-MD5", value: base64(MD5.hash(bytes))),
    ]
  }

  /// That it is a key.
  public var description: String { "CustomerKey" }
  /// That it is a key.
  public var debugDescription: String { description }
  /// Nothing.
  public var customMirror: Mirror { Mirror(self, children: []) }
}

extension S3Settings {
  /// Whether the settings ask for encryption, so that no ETag is to be taken for an MD5.
  var isEncrypted: Bool { encryption != nil || customerKey != nil }

  /// The fields that go with every request of a kind: encryption where an object is begun
  /// (docs.aws.amazon.com/AmazonS3/latest/API/API_PutObject.html, API_CreateMultipartUpload.html), a customer's key wherever its bytes or
  /// its attributes are touched (API_UploadPart.html, API_UploadPartCopy.html, API_CompleteMultipartUpload.html, API_GetObject.html,
  /// API_HeadObject.html), the storage class, and who pays (userguide/RequesterPaysBuckets.html).
  func fields(for operation: StoreOperation, key: String?) -> [(name: String, value: String)] {
    var fields: [(name: String, value: String)] = []
    switch operation {
    case .put, .beginMultipart:
      if let storageClass, key?.hasBytePrefix(storageClassPrefix) == true {
        fields.append((name: "x-amz-storage-class", value: storageClass))
      }
      if let customerKey {
        fields += customerKey.fields(.object)
      } else if let encryption {
        fields.append((name: "x-amz-server-side-encryption", value: encryption.rawValue))
        if let kmsKeyID {
          fields.append((name: "x-amz-server-side-encryption-aws-kms-key-id", value: kmsKeyID))
        }
      }
    case .uploadPart, .copyPart, .complete, .get, .read, .head:
      if let customerKey { fields += customerKey.fields(.object) }
    case .list, .delete, .abort, .listUploads, .createBucket, .lifecycle, .setLifecycle, .thaw, .retention,
      .lock:
      break
    }
    if requesterPays { fields.append((name: "x-amz-request-payer", value: "requester")) }
    return fields
  }
}
