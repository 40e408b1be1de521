import Digests
import Glibc
import ObjectStore
import Platform
import Repository

/// From the configuration to an S3 server.
extension Environment {
  /// How the bucket is reached that the configuration names, or nil where the repository is no `s3://` URL.
  ///
  /// - Throws: `UsageError`, `S3Settings.Invalid`.
  func settings() throws -> S3Settings? {
    guard let repository = configuration.repository, repository.hasPrefix("s3://") else { return nil }
    let parts = repository.dropFirst("s3://".count).split(
      separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
    var settings = try S3Settings(
      endpoint: endpoint, region: region, bucket: String(parts[0]),
      prefix: parts.count > 1 ? String(parts[1]) : "")
    settings.addressing = configuration.addressing
    settings.signPayload = configuration.signPayload
    settings.connections = configuration.connections
    settings.uploadLimit = configuration.uploadLimit
    settings.downloadLimit = configuration.downloadLimit
    try trust(&settings)
    try describeObjects(&settings)
    return settings
  }

  /// The S3 server; nil for Amazon's of the region.
  var endpoint: String? { configuration.endpoint ?? profileSettings?.endpoint }

  /// The region; nil for the one that the endpoint's name tells. That of a profile is not the one of an endpoint that stands elsewhere.
  private var region: String? {
    if let region = configuration.region { return region }
    if let endpoint = configuration.endpoint, let region = S3Settings.region(ofEndpoint: endpoint) {
      return region
    }
    return profileSettings?.region
  }

  /// What the profile says of the server, where nothing else does. The one that the environment names has no say in a repository with
  /// credentials or a name of its own: it tells where another one is.
  private var profileSettings: ProfileSettings? {
    let isOwn = configuration.name != nil || configuration.accessKeyVariable != nil || hasOwnFile
    guard configuration.profile != nil || !isOwn else { return nil }
    return ProfileSettings(profile: configuration.profile, environment: variables)
  }

  private func trust(_ settings: inout S3Settings) throws {
    settings.caFile = try configuration.caFile.map { try readable($0, "ca_file (--ca-file, AWS_CA_BUNDLE)") }
    settings.verifyTLS = configuration.verifyTLS
    guard let certificate = configuration.clientCertificate else {
      guard configuration.clientKey == nil else {
        throw UsageError("client_key goes with client_certificate, and that is not set")
      }
      return
    }
    settings.clientCertificate = try readable(certificate, "client_certificate")
    settings.clientKey = try configuration.clientKey.map { try readable($0, "client_key") }
  }

  private func describeObjects(_ settings: inout S3Settings) throws {
    if configuration.kmsKeyID != nil, configuration.encryption != .kms,
      configuration.encryption != .dualLayerKMS
    {
      throw UsageError("sse_kms_key_id goes with sse = \"aws:kms\" or \"aws:kms:dsse\"")
    }
    settings.encryption = configuration.encryption
    settings.kmsKeyID = configuration.kmsKeyID
    settings.storageClass = configuration.storageClass
    settings.storageClassPrefix = ObjectKey.packs
    settings.requesterPays = configuration.requesterPays
    guard let file = configuration.customerKeyFile else { return }
    guard configuration.encryption == nil else {
      throw UsageError("sse and sse_customer_key_file exclude each other: the server encrypts by one key")
    }
    let path = try readable(file, "sse_customer_key_file")
    // More bytes than a key can have, so that a longer file is none.
    guard let key = CustomerKey(file: try OpenFile(path).bytes(at: 0, count: 64)) else {
      throw UsageError(
        "sse_customer_key_file \(path) holds no key: it must have 32 bytes, or their Base64 (openssl rand -base64 32)"
      )
    }
    try settings.encrypt(with: key)
  }

  /// The path of a file that a setting names, `~/` being the home directory.
  private func readable(_ path: String, _ setting: String) throws(UsageError) -> String {
    var path = path
    if path.hasPrefix("~/"), let home = variables["HOME"] { path = home + path.dropFirst() }
    guard access(path, R_OK) == 0 else {
      throw UsageError(
        "\(setting) names \(path), which cannot be read: \(SystemError.last("open", path).reason)")
    }
    return path
  }
}
