import Platform

/// A digest that grows with its bytes: a value that may be copied, kept, finished at any time, and gone on with.
///
/// ```swift
/// var digest = SHA256()
/// digest.update(header)
/// digest.update(payload)
/// let bytes = digest.finish()
/// ```
///
/// Hashing is work for a thread that may be busy, never for Swift's cooperative pool, except for small messages.
public protocol Digest: Sendable {
  /// The digest of no bytes yet.
  init()

  /// Takes bytes. Any split of a message into updates gives the same digest.
  mutating func update(_ bytes: UnsafeRawBufferPointer)

  /// The digest of all bytes taken so far.
  func finish() -> [UInt8]

  /// Takes `payloads[i]` with `streams[i]`, all streams at once, which is several times as fast as one after the other.
  ///
  /// There must be as many payloads as streams.
  static func update(_ streams: inout [Self], with payloads: [Payload])
}

extension Digest {
  /// Takes bytes. Any split of a message into updates gives the same digest.
  public mutating func update(_ bytes: some Collection<UInt8>) {
    let done: Void? = bytes.withContiguousStorageIfAvailable { update(UnsafeRawBufferPointer($0)) }
    if done == nil { Array(bytes).withUnsafeBytes { update($0) } }
  }

  /// Takes all bytes of a payload.
  public mutating func update(_ payload: Payload) {
    for slice in payload.slices { slice.withBytes { update($0) } }
  }

  /// The digest of some bytes.
  public static func hash(_ bytes: some Collection<UInt8>) -> [UInt8] {
    var digest = Self()
    digest.update(bytes)
    return digest.finish()
  }

  /// The digest of each payload, in their order, all hashed at once.
  public static func hash(each payloads: [Payload]) -> [[UInt8]] {
    var streams = payloads.map { _ in Self() }
    update(&streams, with: payloads)
    return streams.map { $0.finish() }
  }
}
