import Platform

/// Listings.
let listingProbes: [Probe] = [
  Probe("list", .needed) { it in
    let names = ["a", "a-b", "a.b", "b/1", "b/10", "b/2", "b/c/d", "ba", "c", "Z", "zz"]
    for name in names.reversed() { try await it.store.put(it.key(name), Payload(Array(name.utf8))) }
    let all = names.sorted { $0.precedesBytewise($1) }
    let listing = try await it.store.list(it.key(""))
    try ensure(
      listing.objects.map(\.key) == all.map(it.key), "a listing lacks keys, or is not in their order")
    try ensure(
      listing.objects.allSatisfy { $0.size == $0.key.utf8.count - it.base.utf8.count - 1 },
      "a listing tells wrong sizes")
    for prefix in ["a", "b", "b/", "b/1", "b/c/d", "q", "b/c/d/"] {
      try ensure(
        try await it.names(prefix) == all.filter { $0.hasBytePrefix(prefix) },
        "a listing by the prefix \(quoted(prefix)) has other keys than those that begin with it")
    }
    return .holds("listings are complete and follow prefixes")
  },
  Probe("list-paging", .needed, .s3) { it in
    guard let s3 = it.s3 else { return .unknown("not tried") }
    let names = ["a", "b+c", "d e", "f/g", "h%41", "i", "ü"].sorted { $0.precedesBytewise($1) }
    for name in names { try await it.store.put(it.key(name), Payload([1])) }
    let listed = try await s3.list(it.key(""), pageSize: 2).objects.map(\.key)
    try ensure(
      listed == names.map(it.key), "a listing in pages of 2 keys has \(listed.count) of \(names.count) keys")
    return .holds("listings in pages are complete")
  },
  Probe("list-uploads", .useful) { it in
    let upload = try await it.store.beginMultipart(it.key("object"))
    let seen: [PendingUpload]
    do {
      seen = try await it.store.listUploads(it.key(""))
      try await it.store.abort(upload)
    } catch {
      await Task.detached { [store = it.store] in try? await store.abort(upload) }.value
      if case .denied = error as? StoreError {
        return .unknown("the credentials may not list unfinished uploads")
      }
      throw error
    }
    guard seen.map(\.upload) == [upload] else {
      return .doesNotHold("unfinished uploads are not listed: prune cannot find what dead pushes leave")
    }
    return .holds("unfinished uploads are listed, so prune finds what dead pushes leave")
  },
  Probe("clock", .useful) { it in
    try await it.store.put(it.key("object"), Payload([1]))
    let before = Timestamp.now()
    let listing = try await it.store.list(it.key(""))
    let ahead = before.seconds(since: listing.now)
    guard let written = listing.objects.first?.modified else {
      throw ProbeViolation(sentence: "a listing lacks what was stored before it")
    }
    let inner = abs(listing.now.seconds(since: written))
    guard inner < 60 else {
      return .doesNotHold("the store gives objects times that are \(Int(inner)) s away from its own clock")
    }
    guard abs(ahead) < 60 else {
      return .doesNotHold("this machine's clock is \(Int(abs(ahead))) s \(ahead > 0 ? "ahead" : "behind")")
    }
    return .holds("this machine's clock and the store's agree")
  },
]

/// Deletions.
let deletionProbes: [Probe] = [
  Probe("delete", .needed) { it in
    for name in ["a", "d/b", "d/c"] { try await it.store.put(it.key(name), Payload([1])) }
    try await it.store.delete([it.key("a"), it.key("d/b"), it.key("none"), it.key("d/none")])
    try ensure(try await it.names() == ["d/c"], "other objects remain than those that were not deleted")
    try await it.store.delete([it.key("a"), it.key("d/b"), it.key("d/c")])
    try await it.store.delete([])
    try ensure(try await it.names().isEmpty, "objects remain that were deleted")
    try ensure(try await it.store.head(it.key("a")) == nil, "HEAD tells of an object that was deleted")
    try await it.store.put(it.key("d/b"), Payload([2]))
    try ensure(
      try await it.store.get(it.key("d/b"), limit: 1) == [2], "a key cannot be used again after a deletion")
    return .holds("what is deleted is gone")
  },
  Probe("delete-missing", .needed) { it in
    try await it.store.delete([it.key("none")])
    try await it.store.put(it.key("a"), Payload([1]))
    try await it.store.delete([it.key("a")])
    try await it.store.delete([it.key("a")])
    return .holds("a deletion may be repeated")
  },
  Probe("bulk-delete", .useful, .s3) { it in
    guard let s3 = it.s3 else { return .unknown("not tried") }
    for name in ["a", "b&c"] { try await it.store.put(it.key(name), Payload([1])) }
    try await it.store.delete(["a", "b&c"].map(it.key))
    try ensure(try await it.names().isEmpty, "objects remain that were deleted together")
    return s3.deletesOneByOne.load(ordering: .relaxed)
      ? .doesNotHold("deletions of many keys at once are not known: ckbackup deletes one by one")
      : .holds("a thousand keys are deleted by one request")
  },
]
