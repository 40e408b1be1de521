import Digests
import Platform

/// A bucket's lifecycle as it came, with every byte of it.
public struct LifecycleDocument: Equatable, Sendable {
  /// How rules are written that the program makes itself.
  public enum Dialect: Sendable {
    /// S3's, the prefix in a filter.
    case s3
    /// S3's older form, the prefix in the rule: a bucket does not take both forms beside each other.
    case s3WithoutFilter
    /// Alibaba OSS's own.
    case oss
  }

  /// The document, or nothing where the bucket has no rules.
  public let bytes: [UInt8]
  /// Its rules, in order.
  public let rules: [LifecycleRule]
  /// What an answer says of the size from which objects are moved; it goes back with the document, or S3 sets it to its default
  /// (docs.aws.amazon.com/AmazonS3/latest/API/API_PutBucketLifecycleConfiguration.html).
  public let smallestMoved: String?
  private let pieces: XMLPieces?
  private let hasBarePrefixes: Bool

  /// With what a server answers that has no rules for a bucket: S3's code, and Alibaba OSS's.
  static let codesOfNone = ["NoSuchLifecycleConfiguration", "NoSuchLifecycle"]

  /// A bucket without rules.
  public init() {
    (bytes, rules, smallestMoved, pieces, hasBarePrefixes) = ([], [], nil, nil, false)
  }

  /// Nil where the bytes are no such document.
  init?(_ document: [UInt8], smallestMoved: String? = nil) {
    guard let root = XMLNode.parse(document), root.name == "LifecycleConfiguration",
      let pieces = XMLPieces(document), pieces.children.count == root.children.count
    else { return nil }
    let nodes = root.all("Rule")
    bytes = pieces.bytes
    rules = nodes.map { LifecycleRule($0) }
    self.smallestMoved = smallestMoved
    self.pieces = pieces
    hasBarePrefixes = !nodes.isEmpty && nodes.allSatisfy { $0.all("Filter").isEmpty }
  }

  /// The same to the byte.
  public static func == (a: Self, b: Self) -> Bool {
    a.bytes == b.bytes && a.smallestMoved == b.smallestMoved
  }

  /// The dialect for rules that are added to it.
  public func dialect(for cloud: S3Settings.Cloud) -> Dialect {
    cloud == .alibaba ? .oss : hasBarePrefixes ? .s3WithoutFilter : .s3
  }

  /// The document with the rules of these names taken out and others added; all others stay as they stand in it, byte for byte.
  ///
  /// - Throws: `LifecycleError.unsupported` where what comes out would not be read as that: somebody else's rules must not be lost.
  public func replacing(
    _ names: some Collection<String>, by added: [LifecycleRule], dialect: Dialect
  ) throws(LifecycleError) -> LifecycleDocument {
    let result = try joined(names, added, dialect)
    guard result.rules == rules.filter({ !names.contains($0.id) }) + added else { throw Self.unsafe }
    return result
  }

  private static var unsafe: LifecycleError {
    .unsupported(answer: "its rules cannot be changed without a change to those of others")
  }

  private func joined(
    _ names: some Collection<String>, _ added: [LifecycleRule], _ dialect: Dialect
  ) throws(LifecycleError) -> LifecycleDocument {
    let text = Array(added.map { $0.text(dialect) }.joined().utf8)
    let root = "<LifecycleConfiguration xmlns=\"\(s3Namespace)\">"
    guard let pieces, let end = pieces.rootEnd else {
      let open = dialect == .oss ? "<LifecycleConfiguration>" : root
      if added.isEmpty { return LifecycleDocument() }
      guard let new = LifecycleDocument(Array(open.utf8) + text + Array("</LifecycleConfiguration>".utf8))
      else { throw Self.unsafe }
      return new
    }
    var result: [UInt8] = []
    var copied = 0
    for (node, range) in zip(XMLNode.parse(bytes)?.children ?? [], pieces.children)
    where node.name == "Rule" && names.contains(node["ID"] ?? "") {
      result += bytes[copied..<range.lowerBound]
      copied = range.upperBound
    }
    result += bytes[copied..<end] + text + bytes[end...]
    guard let changed = LifecycleDocument(result, smallestMoved: smallestMoved) else { throw Self.unsafe }
    return changed.rules.isEmpty ? LifecycleDocument() : changed
  }
}

extension LifecycleRule {
  /// The rule in XML: what the program sets itself, abortions and moves. Other actions are left out.
  fileprivate func text(_ dialect: LifecycleDocument.Dialect) -> String {
    let place = "<Prefix>\(xmlEscaped(prefix))</Prefix>"
    var text = "<Rule><ID>\(xmlEscaped(id))</ID>"
    text += dialect == .s3 ? "<Filter>\(place)</Filter>" : place
    text += "<Status>\(isEnabled ? "Enabled" : "Disabled")</Status>"
    for action in actions {
      switch action {
      case .abortUploads(let days?) where dialect == .oss:
        text += "<AbortMultipartUpload><Days>\(days)</Days></AbortMultipartUpload>"
      case .abortUploads(let days?):
        text +=
          "<AbortIncompleteMultipartUpload><DaysAfterInitiation>\(days)</DaysAfterInitiation></AbortIncompleteMultipartUpload>"
      case .move(let name, let when):
        let days = when.prefix { $0 != " " }
        text +=
          "<Transition><Days>\(xmlEscaped(String(days)))</Days><StorageClass>\(xmlEscaped(name))</StorageClass></Transition>"
      default: break
      }
    }
    return text + "</Rule>"
  }
}
