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
    (
      "https://s3.dualstack.eu-west-1.amazonaws.com", "bucket",
      "bucket.s3.dualstack.eu-west-1.amazonaws.com", "/p/key"
    ),
    (
      "https://s3-fips.us-gov-west-1.amazonaws.com", "b12", "b12.s3-fips.us-gov-west-1.amazonaws.com",
      "/p/key"
    ),
    ("https://s3.cn-north-1.amazonaws.com.cn", "bucket", "bucket.s3.cn-north-1.amazonaws.com.cn", "/p/key"),
    (
      "https://bucket.vpce-1a2b-5e6f.s3.us-east-1.vpce.amazonaws.com", "bucket",
      "bucket.bucket.vpce-1a2b-5e6f.s3.us-east-1.vpce.amazonaws.com", "/p/key"
    ),
    (
      "https://s3-accesspoint.eu-west-1.amazonaws.com", "ap-123456789012",
      "ap-123456789012.s3-accesspoint.eu-west-1.amazonaws.com", "/p/key"
    ),
    // As consoles show them.
    ("https://bucket.s3.eu-west-1.amazonaws.com", "bucket", "bucket.s3.eu-west-1.amazonaws.com", "/p/key"),
    (
      "https://bucket.oss-cn-hangzhou.aliyuncs.com", "bucket", "bucket.oss-cn-hangzhou.aliyuncs.com", "/p/key"
    ),
    // A server of one's own on a machine there.
    (
      "http://ec2-1-2-3-4.eu-west-1.compute.amazonaws.com:9000", "bucket",
      "ec2-1-2-3-4.eu-west-1.compute.amazonaws.com:9000", "/bucket/p/key"
    ),
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

  @Test(arguments: [
    ("https://s3.eu-central-1.amazonaws.com", "eu-central-1"),
    ("https://s3.dualstack.ap-southeast-2.amazonaws.com", "ap-southeast-2"),
    ("https://s3-fips.us-gov-west-1.amazonaws.com", "us-gov-west-1"),
    ("https://s3-fips.dualstack.us-east-2.amazonaws.com", "us-east-2"),
    ("https://s3.cn-north-1.amazonaws.com.cn", "cn-north-1"),
    ("https://s3-eu-west-1.amazonaws.com", "eu-west-1"), ("https://s3.amazonaws.com", "us-east-1"),
    ("https://bucket.s3.eu-south-2.amazonaws.com", "eu-south-2"),
    ("https://bucket.vpce-1a2b-5e6f.s3.us-east-1.vpce.amazonaws.com", "us-east-1"),
    ("https://accesspoint.vpce-1a2b-5e6f-us-west-2a.s3.us-west-2.vpce.amazonaws.com", "us-west-2"),
    ("https://s3-accesspoint.eu-west-1.amazonaws.com", "eu-west-1"),
    ("https://s3.oss-cn-hangzhou.aliyuncs.com", "cn-hangzhou"),
    ("https://oss-cn-hangzhou.aliyuncs.com", "cn-hangzhou"),
    ("https://oss-cn-shenzhen-finance-1-internal.aliyuncs.com", "cn-shenzhen-finance-1"),
    ("https://s3.oss-ap-southeast-1-internal.aliyuncs.com", "ap-southeast-1"),
    ("https://cn-hangzhou.oss.aliyuncs.com", "cn-hangzhou"),
  ])
  func theRegionIsTakenFromTheEndpointsName(_ endpoint: String, _ region: String) throws {
    #expect(S3Settings.region(ofEndpoint: endpoint) == region)
    #expect(try S3Settings(endpoint: endpoint, bucket: "bucket").region == region)
    #expect(try S3Settings(endpoint: endpoint, region: "x-1", bucket: "bucket").region == "x-1")
  }

  @Test(arguments: [
    "https://s3-accelerate.amazonaws.com", "https://s3-accelerate.dualstack.amazonaws.com",
    "https://oss-accelerate.aliyuncs.com", "https://oss-accelerate-overseas.aliyuncs.com",
    "https://oss.aliyuncs.com", "https://eu-west-1.example", "http://127.0.0.1:9000",
    "https://ec2-1-2-3-4.eu-west-1.compute.amazonaws.com", "no endpoint",
  ])
  func otherNamesTellNoRegion(_ endpoint: String) {
    #expect(S3Settings.region(ofEndpoint: endpoint) == nil)
  }

  @Test(arguments: [
    ("https://s3.amazonaws.com", "bucket.s3.eu-north-1.amazonaws.com"),
    ("https://s3-us-west-2.amazonaws.com", "bucket.s3-eu-north-1.amazonaws.com"),
    ("https://s3.dualstack.us-west-2.amazonaws.com", "bucket.s3.dualstack.eu-north-1.amazonaws.com"),
    (
      "https://bucket.vpce-1-2.s3.us-east-1.vpce.amazonaws.com",
      "bucket.bucket.vpce-1-2.s3.us-east-1.vpce.amazonaws.com"
    ),
    ("https://s3-accelerate.amazonaws.com", "bucket.s3-accelerate.amazonaws.com"),
  ])
  func aRegionThatTheServerNamesChangesTheHost(_ endpoint: String, _ host: String) throws {
    let settings = try S3Settings(endpoint: endpoint, bucket: "bucket")
    #expect(settings.address(nil, region: "eu-north-1").host == host)
  }

  @Test(arguments: ["logs--use1-az4--x-s3", "point--use1-az4--xa-s3"])
  func directoryBucketsAreRefused(_ bucket: String) {
    #expect(throws: S3Settings.Invalid.directoryBucket(bucket)) { try S3Settings(bucket: bucket) }
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
