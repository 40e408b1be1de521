import Engine
import ObjectStore

extension CommandSpec {
  /// The options of commands that read packs, about those in an archive class.
  static let thawing = [
    OptionSpec(
      "wait", "Where packs must be brought back from an archive class, wait for them instead of ending."),
    OptionSpec(
      "thaw-tier", "TIER",
      "How quick, and how dear, packs are brought back: expedited, standard (the default) or bulk."),
  ]
}

extension Environment {
  /// What the options say about packs in an archive class.
  func thawWish() throws(UsageError) -> ThawWish {
    var request = ThawRequest()
    if let text = arguments.string("thaw-tier") {
      guard
        let tier = ThawRequest.Tier.allCases.first(where: { $0.rawValue.lowercased() == text.lowercased() })
      else {
        throw UsageError(
          "--thaw-tier takes expedited, standard or bulk, not \(text)", command: arguments.command.name)
      }
      request.tier = tier
    }
    return ThawWish(request: request, waits: arguments.has("wait")) { [console] report in
      console.warn(
        "\(report.what); waiting, and looking again every \(Quantity.format(seconds: ThawWish.interval)): \(report.when)"
      )
    }
  }
}

extension ThawReport {
  /// How many packs there are, and in which classes.
  var what: String {
    let place = classes.isEmpty ? "an archive class" : classes.joined(separator: " and ")
    return
      "\(Quantity.count(packs, "pack")) \(packs == 1 ? "is" : "are") in \(place) and \(packs == 1 ? "was" : "were") asked for"
  }

  /// When they will be there, as far as anybody says.
  var when: String {
    guard let minutes else { return "when they can be read the store does not say" }
    let (first, last) = (
      Quantity.format(seconds: Double(minutes.lowerBound) * 60),
      Quantity.format(seconds: Double(minutes.upperBound) * 60)
    )
    let span = minutes.lowerBound == minutes.upperBound ? "up to \(last)" : "\(first) to \(last)"
    return "by its service's documents it takes \(span) from the first request on"
  }

  /// What the user has to know and do.
  var sentence: String {
    "\(what): \(when). Everything else was done; run the same command again then, or with --wait (they stay readable for \(request.days) days)."
  }
}
