import ObjectStore
import Platform
import Repository

/// Brings packs of one repository to another, each once, and remembers where they went.
actor PackCopy {
  /// What became of all packs.
  struct Outcome: Sendable {
    var packs = 0
    var sentBytes = 0
    var serverBytes = 0
    var losses: [ChunkFetcher.Loss] = []
  }

  private let source: Repository
  private let target: Repository
  private let resources: Resources
  private let progress: Progress
  private let part: Int
  private let manifests: [(snapshot: Snapshot, manifest: Manifest)]
  private let stored: [String: ObjectInfo]
  private(set) var outcome = Outcome()
  /// Where packs of the source are in the target, of those that this copy has sent.
  private var places: [String: String] = [:]
  private var lost = Set<String>()
  /// Whether a server refused to copy by itself, so that it is not asked again.
  private var isRefused = false

  init(
    source: Repository, target: Repository, resources: Resources, progress: Progress, part: Int,
    manifests: [(snapshot: Snapshot, manifest: Manifest)], stored: [String: ObjectInfo]
  ) {
    self.source = source
    self.target = target
    self.resources = resources
    self.progress = progress
    self.part = part
    self.manifests = manifests
    self.stored = stored
  }

  /// Forgets the places that a later look at the target speaks against.
  func revise(_ state: CopyTarget) { places = places.filter { state.keeps($0.value) } }

  /// The key of a pack in the target, where it is copied first unless it is there; nil where it is damaged.
  func place(_ pack: Manifest.PackReference, _ state: CopyTarget) async throws -> String? {
    if lost.contains(pack.key) { return nil }
    if let key = places[pack.key] { return key }
    if state.has(pack) { return pack.key }
    let key =
      state.isFree(pack.key)
      ? pack.key
      : ObjectKey.pack(class: pack.fileClass.rawValue, random: target.surroundings.random(16))
    if let loss = try await copy(pack, to: key) {
      outcome.losses.append(loss)
      lost.insert(pack.key)
      return nil
    }
    outcome.packs += 1
    places[pack.key] = key
    return key
  }

  /// Copies a pack; gives what is lost of it, and then nothing was written.
  private func copy(_ pack: Manifest.PackReference, to key: String) async throws -> ChunkFetcher.Loss? {
    let named = PackLayout.wanted(of: pack.key, in: manifests)
    func loss(_ kind: Damage.Kind) -> ChunkFetcher.Loss {
      .init(pack: pack.key, kind: kind, chunks: Array(named))
    }
    let layout: PackLayout
    do {
      layout = try await PackLayout.read(pack, from: source)
    } catch let error as FormatError where error.isDamage {
      return loss(.wrongContent)
    } catch StoreError.missing {
      return loss(.missing)
    } catch StoreError.short(_, let expected, let received) {
      return loss(.wrongSize(expected: expected, found: received))
    }
    guard named.isSubset(of: layout.chunks) else { return loss(.wrongContent) }
    if try await copyOnServer(pack, to: key) {
      outcome.serverBytes += pack.size
      progress.add(done: pack.size)
      return nil
    }
    let fetcher = ChunkFetcher(store: source.store, resources: resources, progress: progress)
    let losses = LostChunks()
    let missing = try await PackBuild(
      store: target.store, resources: resources, part: part, batchSize: resources.batchBuffers
    ).run(layout, key: key) { batch in
      let found = FoundChunks()
      let ranges = batch.map {
        FetchRange(pack: pack.key, offset: $0.offset, length: $0.length, chunks: $0.chunks)
      }
      losses.add(try await fetcher.fetch(ranges) { chunk, _, bytes in found.add(bytes, at: chunk.offset) })
      return found.all
    }
    if let first = losses.all.first { return .init(pack: pack.key, kind: first.kind, chunks: missing) }
    outcome.sentBytes += pack.size
    return nil
  }

  /// Has the server copy a pack that came in parts, where both repositories are on it. The same parts give the same ETag, which proves
  /// the copy; true where it does.
  private func copyOnServer(_ pack: Manifest.PackReference, to key: String) async throws -> Bool {
    let count = (pack.size + part - 1) / part
    guard !isRefused, count > 1, let etag = pack.etag, etag.hasSuffix("-\(count)"),
      stored[pack.key]?.etag == etag
    else { return false }
    let store = target.store
    let upload = try await store.beginMultipart(key)
    do {
      let (source, part) = (source.store, part)
      let receipts = try await concurrently(Array(1...count), limit: resources.connections) {
        number -> PartReceipt in
        let start = (number - 1) * part
        let receipt = try await store.copyPart(
          upload, number: number, of: pack.key, in: source, range: start..<min(start + part, pack.size))
        // SeaweedFS 4.48 cuts a part that it copies, and its ETag is no MD5 then: nothing would prove the whole.
        guard let receipt, receipt.isDigest, bytes(hex: receipt.etag)?.count == 16 else {
          throw StoreError.unsupported(operation: StoreOperation.copyPart.rawValue)
        }
        return receipt
      }
      if try await store.complete(upload, receipts) == etag { return true }
      isRefused = true
    } catch is StoreError {
      // Whatever it was: where it concerns more than this way of copying, sending meets it too.
      isRefused = true
    } catch {
      await Task.detached { try? await store.abort(upload) }.value
      throw error
    }
    // What came out as another object is replaced by the one that is sent.
    try await store.abort(upload)
    return false
  }
}
