import HTTP

/// Where an S3 repository is and how its server is spoken to.
public struct S3Settings: Sendable {
  /// How the bucket is named in requests.
  public enum Addressing: String, CaseIterable, Sendable {
    /// Virtual-hosted for amazonaws.com and aliyuncs.com, path-style for everything else.
    case auto
    /// `https://host/bucket/key`
    case path
    /// `https://bucket.host/key`
    case virtual
  }

  /// Why settings cannot be used, each with the text that is wrong.
  public enum Invalid: Error, Equatable, Sendable {
    /// The endpoint is no URL of the form `http[s]://host[:port]`.
    case endpoint(String)
    /// The bucket's name is empty or has characters that no bucket's name has.
    case bucket(String)
    /// The prefix is no key.
    case prefix(String)
    /// The region is empty or has characters that no region's name has.
    case region(String)
    /// The bucket is one of S3 Express One Zone, which has other signatures, no MD5s and listings without an order.
    case directoryBucket(String)
    /// A customer's key would go over plain HTTP to this endpoint.
    case customerKeyWithoutTLS(String)
  }

  /// The bucket.
  public let bucket: String
  /// What all keys begin with, without a slash at either end; empty for the whole bucket.
  public let prefix: String
  /// The region that requests are signed for at first; a redirect may tell a better one.
  public let region: String
  /// How the bucket is named in requests.
  public var addressing = Addressing.auto
  /// Whether the body's SHA-256 is part of the signature. It costs CPU; the signed Content-MD5 guards bodies in any case.
  public var signPayload = false
  /// Connections at most.
  public var connections = 8
  /// Bytes a second that one request may send, or receive, at most; nil for as many as go.
  public var uploadLimit: Int?, downloadLimit: Int?
  /// A file of certificates to trust instead of the system's.
  public var caFile: String?
  /// Whether the server must prove who it is.
  public var verifyTLS = true
  /// Files (PEM) with the certificate and the key that prove to the server who this is; nil for none.
  public var clientCertificate: String?, clientKey: String?
  /// How the server encrypts what it is sent; nil for the bucket's own way. A customer's key beats it.
  public var encryption: ServerEncryption?
  /// The KMS key's name; nil for AWS's own.
  public var kmsKeyID: String?
  /// The storage class of objects whose keys begin with `storageClassPrefix`; nil for the bucket's usual one.
  public var storageClass: String?, storageClassPrefix = ""
  /// Whether whoever asks pays instead of the bucket's owner.
  public var requesterPays = false

  let endpoint: Endpoint
  private(set) var customerKey: CustomerKey?

  /// Settings for a bucket; slashes around the prefix are dropped. Without an endpoint it is Amazon's of the region; without a region it is
  /// the one that the endpoint's name tells, or else us-east-1. Throws `Invalid`.
  public init(endpoint: String? = nil, region: String? = nil, bucket: String, prefix: String = "") throws {
    let region = region ?? endpoint.flatMap(Self.region(ofEndpoint:)) ?? "us-east-1"
    guard isRegionName(region) else { throw Invalid.region(region) }
    let url = endpoint ?? "https://s3.\(region).\(amazonDomain(of: region))"
    guard let parsed = Endpoint(url) else { throw Invalid.endpoint(url) }
    guard (1...255).contains(bucket.utf8.count), bucket.utf8.allSatisfy({ isNameByte($0) }), isKey(bucket)
    else {
      throw Invalid.bucket(bucket)
    }
    // docs.aws.amazon.com/AmazonS3/latest/userguide/directory-bucket-naming-rules.html
    guard !bucket.hasSuffix("--x-s3"), !bucket.hasSuffix("--xa-s3") else {
      throw Invalid.directoryBucket(bucket)
    }
    let trimmed = prefix.split(separator: "/", omittingEmptySubsequences: false)
      .drop { $0.isEmpty }.reversed().drop { $0.isEmpty }.reversed().joined(separator: "/")
    guard trimmed.isEmpty || isKey(trimmed) else { throw Invalid.prefix(prefix) }
    self.endpoint = parsed.without(bucket: bucket)
    self.region = region
    self.bucket = bucket
    self.prefix = trimmed
  }

  /// The region that an endpoint's name tells, or nil where it tells none.
  public static func region(ofEndpoint endpoint: String) -> String? { Endpoint(endpoint)?.region }

  /// Has the server encrypt everything with a key that only its owner keeps. Throws `Invalid.customerKeyWithoutTLS` for an endpoint
  /// without TLS, to which the key would go in clear.
  public mutating func encrypt(with key: CustomerKey) throws(Invalid) {
    guard endpoint.scheme == "https" else { throw .customerKeyWithoutTLS(endpoint.url) }
    customerKey = key
  }

  /// The options of a client for this server.
  public var httpOptions: HTTPOptions {
    var options = HTTPOptions()
    options.connections = connections
    options.caFile = caFile
    options.mostSent = uploadLimit ?? 0
    options.mostReceived = downloadLimit ?? 0
    options.verifyTLS = verifyTLS
    options.clientCertificate = clientCertificate
    options.clientKey = clientKey
    return options
  }

  /// The server's address, for people.
  public var server: String { endpoint.url }

  /// The name that users know the repository by.
  var name: String { prefix.isEmpty ? "s3://\(bucket)" : "s3://\(bucket)/\(prefix)" }

  /// A key or prefix of the repository as one of the bucket.
  func full(_ key: String) -> String { prefix.isEmpty ? key : "\(prefix)/\(key)" }

  /// The repository's key for one of the bucket, or nil where that lies outside the prefix.
  func relative(_ full: String) -> String? {
    if prefix.isEmpty { return full }
    guard full.hasBytePrefix(prefix + "/") else { return nil }
    return String(decoding: full.utf8.dropFirst(prefix.utf8.count + 1), as: UTF8.self)
  }

  /// Where a request for a key, or for the bucket itself, goes: the `Host` field and the path, not encoded.
  func address(_ key: String?, region: String) -> (host: String, path: String) {
    let host = endpoint.inRegion(region, insteadOf: self.region).authority
    let object = key.map(full) ?? ""
    return isVirtual
      ? ("\(bucket).\(host)", "/\(object)") : (host, key == nil ? "/\(bucket)" : "/\(bucket)/\(object)")
  }

  private var isVirtual: Bool {
    switch addressing {
    case .path: false
    case .virtual: true
    case .auto:
      // A bucket with dots matches no wildcard certificate; OSS has none, and no path style either.
      endpoint.isAmazon && !bucket.contains(".") || endpoint.isAlibaba
    }
  }
}

/// Whether a text may stand for a region in a signature and in the name of an Amazon host.
func isRegionName(_ text: String) -> Bool { !text.isEmpty && text.utf8.allSatisfy { isNameByte($0) } }

/// Letters, digits, `.`, `_` and `-`.
private func isNameByte(_ byte: UInt8) -> Bool {
  switch byte {
  case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
    UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: "-"):
    true
  default: false
  }
}
