import Platform

/// The ETag that S3 gives an object sent in parts (without quotes): the MD5 of the parts' MD5s in hex, `-`, and their number.
///
/// AWS documents the form in "Checking object integrity in Amazon S3" of the S3 User Guide; stores that encrypt with
/// keys of their own, and some others, answer something else.
public func multipartETag(partMD5s: [[UInt8]]) -> String {
  "\(hex(MD5.hash(partMD5s.joined())))-\(partMD5s.count)"
}
