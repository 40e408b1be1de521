/// What the names of Amazon's and Alibaba Cloud's endpoints say
/// (docs.aws.amazon.com/general/latest/gr/s3.html; docs.aws.amazon.com/AmazonS3/latest/userguide/privatelink-interface-endpoints.html;
/// www.alibabacloud.com/help/en/oss/user-guide/regions-and-endpoints).
extension Endpoint {
  /// Whether it is Amazon's own service; a server of a user's own on a machine there (`ec2-….compute.amazonaws.com`) is not.
  var isAmazon: Bool {
    guard let labels = amazonLabels, Self.usersOwn.isDisjoint(with: labels) else { return false }
    return labels.contains { $0 == "s3" || $0.hasPrefix("s3-") }
  }

  /// What stands in the names of machines, load balancers and gateways of users.
  private static let usersOwn: Set<Substring> = ["compute", "elb", "execute-api"]

  /// Whether it is Alibaba Cloud's own service.
  var isAlibaba: Bool { isIn("aliyuncs.com") }

  /// The region that the name tells: `s3.dualstack.eu-central-1.amazonaws.com`, `bucket.vpce-….s3.us-east-1.vpce.amazonaws.com`,
  /// `s3.oss-cn-hangzhou-internal.aliyuncs.com`. Nil where it tells none, as `s3-accelerate.amazonaws.com` and other services' names.
  var region: String? {
    if isAmazon, var labels = amazonLabels {
      if labels.last == "vpce" { labels.removeLast() }
      guard let last = labels.last else { return nil }
      if last == "s3" || last == "s3-external-1" { return "us-east-1" }
      return [last, last.dropFirst("s3-".count)].first(where: isRegion).map(String.init)
    }
    if isAlibaba {
      let labels = host.split(separator: ".").dropLast(2)
      // Those for IPv4 and IPv6 are called `cn-hangzhou.oss.aliyuncs.com`.
      guard var last = labels.last == "oss" ? labels.dropLast().last : labels.last else { return nil }
      if last.hasPrefix("oss-") { last = last.dropFirst("oss-".count) }
      if last.hasSuffix("-internal") { last = last.dropLast("-internal".count) }
      return last.contains("-") && !last.hasPrefix("accelerate") ? String(last) : nil
    }
    return nil
  }

  /// Amazon's endpoint of another region than `old`, for which this one was given. Any other endpoint, and one of a private network,
  /// serves what it serves.
  func inRegion(_ region: String, insteadOf old: String) -> Endpoint {
    guard region != old, isAmazon, let own = self.region, own != region, !host.contains(".vpce.") else {
      return self
    }
    let domain = host.hasSuffix(".cn") ? "amazonaws.com.cn" : "amazonaws.com"
    if ["s3.\(domain)", "s3-external-1.\(domain)"].contains(host) {
      return with(host: "s3.\(region).\(domain)")
    }
    let labels = host.split(separator: ".").map { label in
      label == own ? region : label == "s3-\(own)" ? "s3-\(region)" : String(label)
    }
    return with(host: labels.joined(separator: "."))
  }

  /// The service's endpoint where the name is that of a bucket at Amazon or Alibaba Cloud: consoles show those, and the bucket is put
  /// before the name again.
  func without(bucket: String) -> Endpoint {
    let rest = host.dropFirst(bucket.count + 1)
    guard host.hasPrefix(bucket.lowercased() + "."), isAmazon || isAlibaba,
      ["s3.", "s3-", "oss-"].contains(where: rest.hasPrefix)
    else { return self }
    return with(host: String(rest))
  }

  /// What stands before Amazon's domain.
  private var amazonLabels: [Substring]? {
    for domain in [".amazonaws.com", ".amazonaws.com.cn"] where host.hasSuffix(domain) {
      return host.dropLast(domain.count).split(separator: ".")
    }
    return nil
  }

  /// Whether a label has the form of a region's name: `eu-central-1`, `us-gov-west-1`.
  private func isRegion(_ label: Substring) -> Bool {
    let words = label.split(separator: "-", omittingEmptySubsequences: false)
    guard words.count >= 3, words[0].utf8.count == 2, let number = words.last else { return false }
    let isWord = words.dropLast().allSatisfy { word in
      !word.isEmpty && word.utf8.allSatisfy { (UInt8(ascii: "a")...UInt8(ascii: "z")).contains($0) }
    }
    return isWord && !number.isEmpty && number.utf8.allSatisfy { isDigit($0) }
  }
}
