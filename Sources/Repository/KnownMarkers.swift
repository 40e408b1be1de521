/// The markers that a whole listing showed on this machine, kept to ask after them when a later one lacks some.
extension Repository {
  private static let knownMarkers = "known markers"

  /// The markers that were remembered last; empty where nothing is. Some may have been removed since, here or elsewhere: this is good
  /// for questions alone.
  public func rememberedMarkers() -> Set<String> {
    guard let bytes = cache?.get(Self.knownMarkers) else { return [] }
    let lines = String(decoding: bytes, as: UTF8.self).split(separator: "\n").map(String.init)
    return Set(lines.filter { ObjectKey.parse(marker: $0) != nil })
  }

  /// Remembers markers in place of those before. Where there is no cache, nothing is remembered.
  public func remember(markers: Set<String>) {
    cache?.put(Self.knownMarkers, Array(markers.sorted().joined(separator: "\n").utf8))
  }
}
