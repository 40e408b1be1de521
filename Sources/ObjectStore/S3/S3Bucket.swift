import Digests
import HTTP
import Platform

extension S3Store {
  /// Makes the bucket, in the store's region (docs.aws.amazon.com/AmazonS3/latest/API/API_CreateBucket.html). One that is there already and
  /// belongs to whoever asks is left as it is.
  ///
  /// - Returns: whether it was made now, as far as the server tells.
  /// - Throws: `StoreError`; `.refused` with the code `BucketAlreadyExists` where it is somebody else's.
  @discardableResult
  public func createBucket() async throws -> Bool {
    let settings = session.settings
    var request = S3Request(.createBucket, "PUT", bucketFor: settings.bucket)
    // us-east-1 is said by saying nothing; Alibaba's endpoints are each of one region.
    if settings.region != "us-east-1", settings.cloud != .alibaba {
      let document =
        "<CreateBucketConfiguration xmlns=\"\(s3Namespace)\"><LocationConstraint>\(settings.region)</LocationConstraint></CreateBucketConfiguration>"
      let body = Array(document.utf8)
      request.headers = [
        (name: "Content-Type", value: "application/xml"),
        (name: "Content-MD5", value: base64(MD5.hash(body))),
      ]
      request.body = Payload(body)
    }
    do {
      _ = try await session.send(request)
      return true
    } catch StoreError.refused(_, _, _, code: "BucketAlreadyOwnedByYou", _) {
      return false
    } catch let error as StoreError {
      // Not every server says whose it is: where its listing is given, it is as good as one's own.
      guard case .refused(_, _, _, code: "BucketAlreadyExists", _) = error else { throw error }
      do { _ = try await list("") } catch is StoreError { throw error }
      return false
    }
  }
}
