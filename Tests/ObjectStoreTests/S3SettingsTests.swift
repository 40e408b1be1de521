import Testing

@testable import ObjectStore

struct S3SettingsTests {
  @Test(arguments: [
    ("https://host", "https://host"), ("http://10.0.0.1:9000/", "http://10.0.0.1:9000"),
    ("HTTPS://Host.Example:443", "https://host.example"), ("http://h:80", "http://h"),
    ("http://[::1]:9000", "http://[::1]:9000"), ("http://[::1]", "http://[::1]"),
    ("http://h_1:443", "http://h_1:443"),
  ])
  func endpointsAreRead(_ text: String, _ url: String) { #expect(Endpoint(text)?.url == url) }

  @Test(arguments: [
    "", "host", "ftp://host", "https://", "https://host/path", "https://user:password@host", "https://host:0",
    "https://host:65536", "https://host:+80", "https://host:", "https://ho st", "https://host?x",
    "https://host#x",
    "https://h\u{e9}", "https://host\r\nX: y", "http://a:b", "http://::1",
  ])
  func otherTextsAreNoEndpoints(_ text: String) {
    #expect(Endpoint(text) == nil)
    #expect(throws: S3Settings.Invalid.endpoint(text)) { try S3Settings(endpoint: text, bucket: "b") }
  }

  @Test(arguments: [
    ("eu-west-1", "https://s3.eu-west-1.amazonaws.com"),
    ("cn-north-1", "https://s3.cn-north-1.amazonaws.com.cn"),
  ])
  func withoutAnEndpointItIsAmazonsOfTheRegion(_ region: String, _ url: String) throws {
    #expect(try S3Settings(region: region, bucket: "bucket").endpoint.url == url)
  }

  @Test(arguments: [
    ("https://s3.eu-west-1.amazonaws.com", "bucket", "bucket.s3.eu-west-1.amazonaws.com", "/p/key"),
    (
      "https://s3.eu-west-1.amazonaws.com", "dotted.bucket", "s3.eu-west-1.amazonaws.com",
      "/dotted.bucket/p/key"
    ),
    ("https://oss-cn-hangzhou.aliyuncs.com", "bucket", "bucket.oss-cn-hangzhou.aliyuncs.com", "/p/key"),
    ("http://127.0.0.1:9000", "bucket", "127.0.0.1:9000", "/bucket/p/key"),
    ("https://amazonaws.com.evil.example", "bucket", "amazonaws.com.evil.example", "/bucket/p/key"),
  ])
  func bucketsAreAddressedAsTheServiceWants(
    _ endpoint: String, _ bucket: String, _ host: String, _ path: String
  )
    throws
  {
    let settings = try S3Settings(endpoint: endpoint, region: "eu-west-1", bucket: bucket, prefix: "/p/")
    let address = settings.address("key", region: "eu-west-1")
    #expect(address.host == host && address.path == path)
  }

  @Test func anotherRegionChangesAmazonsHostsOnly() throws {
    let amazon = try S3Settings(region: "us-east-1", bucket: "bucket")
    #expect(amazon.address(nil, region: "eu-north-1").host == "bucket.s3.eu-north-1.amazonaws.com")
    let other = try S3Settings(endpoint: "https://us-east-1.example", region: "us-east-1", bucket: "bucket")
    #expect(other.address(nil, region: "eu-north-1").host == "us-east-1.example")
  }

  @Test func namesThatCannotBeAreRefused() {
    for bucket in ["", "a/b", "a b", "..", "b?x", "b\n", "b\u{fc}"] {
      #expect(throws: S3Settings.Invalid.bucket(bucket)) { try S3Settings(bucket: bucket) }
    }
    for prefix in ["a//b", "a/../b", "a\nb"] {
      #expect(throws: S3Settings.Invalid.prefix(prefix)) { try S3Settings(bucket: "b", prefix: prefix) }
    }
    for region in ["", "us east", "x/y"] {
      #expect(throws: S3Settings.Invalid.region(region)) { try S3Settings(region: region, bucket: "b") }
    }
  }
}
