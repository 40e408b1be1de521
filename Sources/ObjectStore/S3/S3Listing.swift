import HTTP
import Platform

extension S3Store {
  /// All objects under a prefix.
  ///
  /// What is under the prefix and has no key of the contract (a console's `folder/`) was not put by this store and is left out.
  public func list(_ prefix: String) async throws -> Listing { try await list(prefix, pageSize: 1000) }

  /// The same in pages of so many keys.
  func list(_ prefix: String, pageSize: Int) async throws -> Listing {
    var found: [ObjectInfo] = []
    var now: Timestamp?
    var token: String?
    var pages = ListingPages()
    repeat {
      var request = S3Request(.list, "GET", bucketFor: prefix)
      request.query = [
        (name: "list-type", value: "2"), (name: "encoding-type", value: "url"),
        (name: "max-keys", value: "\(pageSize)"),
        (name: "prefix", value: listPrefix(prefix)),
      ]
      if let token { request.query.append((name: "continuation-token", value: token)) }
      request.sink = .memory(limit: pageLimit)
      let response = try await session.send(request)
      now = now ?? response.headers["date"].flatMap { Timestamp(parsing: $0) } ?? session.now
      let page = try page(response, "ListBucketResult")
      let isEncoded = isEncoded(page)
      var keys: [String?] = []
      for item in page.children where item.name == "Contents" {
        let full = try text(item["Key"] ?? "", isEncoded)
        if let info = try object(item, at: full, under: prefix) { found.append(info) }
        keys.append(full)
      }
      try check(found.count)
      token = try next(of: page)
      if let fault = pages.fault(keys: keys, count: keys.count, keyCount: page["KeyCount"], next: token) {
        throw session.notS3(fault)
      }
    } while token != nil
    // By bytes, which not every server does.
    found.sort { $0.key.precedesBytewise($1.key) }
    return Listing(objects: found, now: now ?? session.now)
  }

  /// Uploads that are still open; empty where the server cannot tell.
  public func listUploads(_ prefix: String) async throws -> [PendingUpload] {
    var found: [PendingUpload] = []
    var marker: (key: String, id: String)?
    repeat {
      var request = S3Request(.listUploads, "GET", bucketFor: prefix)
      request.query = [
        (name: "uploads", value: ""), (name: "encoding-type", value: "url"),
        (name: "prefix", value: listPrefix(prefix)),
      ]
      if let marker {
        request.query += [
          (name: "key-marker", value: marker.key), (name: "upload-id-marker", value: marker.id),
        ]
      }
      request.sink = .memory(limit: pageLimit)
      let response: HTTPResponse
      do {
        response = try await session.send(request)
      } catch StoreError.unsupported {
        return []
      } catch StoreError.noUpload {
        // rclone 1.75 says so of a bucket that never had any.
        return []
      }
      // Servers that do not know the question answer another one: the object listing.
      guard let page = XMLNode.parse(response.body), page.name == "ListMultipartUploadsResult" else {
        return []
      }
      let isEncoded = isEncoded(page)
      for item in page.all("Upload") {
        guard let id = item["UploadId"], !id.isEmpty,
          let started = item["Initiated"].flatMap({ Timestamp(parsing: $0) }),
          let key = try key(try text(item["Key"] ?? "", isEncoded)), key.hasBytePrefix(prefix)
        else { continue }
        found.append(PendingUpload(upload: MultipartUpload(key: key, id: id), started: started))
      }
      try check(found.count)
      // rclone does not say it of the last page.
      guard page["IsTruncated"]?.lowercased() == "true" else { break }
      let next = (
        key: try text(page["NextKeyMarker"] ?? "", isEncoded) ?? "", id: page["NextUploadIdMarker"] ?? ""
      )
      guard !next.key.isEmpty, marker.map({ $0 != next }) ?? true else {
        throw session.notS3("a list of uploads that is not complete and does not say how it goes on")
      }
      marker = next
    } while true
    return found
  }

  /// The token by which a listing goes on, nil after its last page. A page that does not say is not taken for the last: what a
  /// listing lacks may be deleted.
  private func next(of page: XMLNode) throws -> String? {
    switch page["IsTruncated"]?.lowercased() {
    case "true":
      guard let token = page["NextContinuationToken"], !token.isEmpty else {
        throw session.notS3("a listing that is not complete and does not say how it goes on")
      }
      return token
    case "false": return nil
    default: throw session.notS3("a listing that does not say whether it is complete")
    }
  }

  /// A server that never ends a listing would take all memory.
  private func check(_ count: Int) throws {
    let limit = 5_000_000
    guard count <= limit else { throw session.notS3("a listing of more than \(limit) entries") }
  }

  /// The most that a page of 1,000 keys of 1,024 bytes can have, each byte written as `%XX`, and its markup.
  private var pageLimit: Int { 8 << 20 }

  /// The bucket's prefix that a prefix of the repository stands for.
  private func listPrefix(_ prefix: String) -> String { session.settings.full(prefix) }

  private func page(_ response: HTTPResponse, _ name: String) throws -> XMLNode {
    guard let page = XMLNode.parse(response.body), page.name == name else {
      let problem = S3Problem(response)
      throw session.notS3("\(problem.foreign ?? problem.detail) instead of <\(name)>")
    }
    return page
  }

  private func object(_ item: XMLNode, at full: String?, under prefix: String) throws -> ObjectInfo? {
    guard let key = try key(full) else { return nil }
    guard key.hasBytePrefix(prefix) else { throw session.notS3("a listing with keys outside of its prefix") }
    guard let size = item["Size"].flatMap({ Int($0) }), size >= 0,
      let modified = item["LastModified"].flatMap({ Timestamp(parsing: $0) })
    else { throw session.notS3("a listing without sizes and times") }
    return ObjectInfo(key: key, size: size, etag: item["ETag"].flatMap(plainETag), modified: modified)
  }

  /// The repository's key of the bucket's, or nil where it is none of the contract.
  private func key(_ full: String?) throws -> String? {
    guard let full else { return nil }
    guard let key = session.settings.relative(full) else {
      throw session.notS3("a listing with keys outside of its prefix")
    }
    return isKey(key) ? key : nil
  }

  /// Whether a page says that its keys are encoded. Asked once a page: it may say so behind a thousand entries.
  private func isEncoded(_ page: XMLNode) -> Bool { page["EncodingType"] == "url" }

  /// A text of a page, decoded where the page says that it is encoded; nil where it is no UTF-8.
  private func text(_ text: String, _ isEncoded: Bool) throws -> String? {
    guard isEncoded else { return text }
    guard let bytes = percentDecodedBytes(text) else { throw session.notS3("a listing with broken encoding") }
    return String(validating: bytes, as: UTF8.self)
  }
}

/// An ETag without its quotes and without the mark of a weak one; nil where nothing remains.
func plainETag(_ text: String) -> String? {
  var text = text[...]
  if text.hasPrefix("W/") { text = text.dropFirst(2) }
  if text.utf8.count >= 2, text.hasPrefix("\""), text.hasSuffix("\"") { text = text.dropFirst().dropLast() }
  return text.isEmpty ? nil : String(text)
}
