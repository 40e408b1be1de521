import Engine

/// `--wait`, which push and check have.
enum SaveWait {
  static let option = OptionSpec(
    "wait", orTime: "TIME",
    "Wait for the end of a save that is under way, up to TIME (30m where it is left out).")

  /// For how many seconds the end of a save is waited for; nil where that was not asked for.
  static func patience(_ arguments: Arguments) throws(UsageError) -> Double? {
    try arguments.seconds("wait", absent: SaveWatch.usualPatience)
  }
}
