import CPlatform
import Engine
import Glibc
import Platform

/// Shows progress on standard error while a command runs: a live line on a terminal, a line now and then elsewhere.
struct ProgressDisplay: Sendable {
  /// How it is shown.
  enum Style: String, Sendable {
    case live
    case plain
    case none
  }

  private let progress: Progress
  private let style: Style

  /// A display of `how` (`auto`, `live`, `plain`, `none`); nil where it is none of these.
  init?(_ progress: Progress, how: String, isQuiet: Bool) {
    self.progress = progress
    if how == "auto" {
      let isTerminal = isatty(STDERR_FILENO) == 1
      style = isQuiet ? .none : isTerminal ? .live : .plain
    } else {
      guard let named = Style(rawValue: how) else { return nil }
      style = named
    }
  }

  /// Shows progress while `work` runs.
  func during<Result: Sendable>(_ work: @Sendable () async throws -> Result) async throws -> Result {
    guard style != .none else { return try await work() }
    let shown = Task { await show() }
    defer {
      shown.cancel()
      if style == .live { Console.showLive(nil) }
    }
    return try await work()
  }

  private func show() async {
    var rate = Rate()
    var seconds = 0.0
    let step = style == .live ? 0.2 : 1.0
    var nextLine = 10.0
    var phase = (Progress.Phase.prepare, since: 0.0)
    // Who is awaited is told again when it changes, or now and then.
    var told = (ranks: [Int](), again: 0.0)
    while !Task.isCancelled {
      do { try await Task.sleep(for: .seconds(step)) } catch { return }
      seconds += step
      let state = progress.now
      rate.add(state, at: seconds)
      if state.phase != phase.0 { phase = (state.phase, since: seconds) }
      let since = seconds - phase.since
      if style == .live {
        if !Task.isCancelled {
          Console.showLive(
            Self.line(state, rate.perSecond, since: since, width: Int(ck_terminal_columns(STDERR_FILENO)) - 1)
          )
        }
      } else if seconds >= nextLine,
        state.awaited.isEmpty || state.awaited != told.ranks || seconds >= told.again
      {
        Console.write(Self.line(state, rate.perSecond, since: since, width: .max) + "\n", to: STDERR_FILENO)
        nextLine = seconds + 30
        told = (state.awaited, again: seconds + 120)
      }
    }
  }

  /// The state in words; what does not fit a width is left out from the end. `since` is how long its phase has gone on, in seconds.
  static func line(_ state: Progress.State, _ perSecond: Double, since: Double, width: Int) -> String {
    if !state.awaited.isEmpty {
      let who = "waiting for \(Quantity.ranks(state.awaited, limit: 8)) of \(state.worldSize)"
      let full = "\(who) (\(Quantity.format(seconds: since)))"
      return full.count <= width ? full : String(who.prefix(max(0, width)))
    }
    var parts = [state.phase.rawValue]
    if state.total > 0 { parts[0] += " \(Int(Double(state.done) / Double(state.total) * 100)) %" }
    if let trouble = state.trouble {
      return String("\(parts[0]); trying again: \(trouble)".prefix(max(0, width)))
    }
    if state.total > 0 {
      if perSecond > 0 {
        let rest = Double(state.total - state.done) / perSecond
        parts.append("\(Quantity.format(seconds: rest)) left")
        parts.append("\(Quantity.format(bytes: Int(perSecond)))/s")
      }
      parts.append("\(Quantity.format(bytes: state.done)) of \(Quantity.format(bytes: state.total))")
    }
    if state.phase == .send { parts.append("\(Quantity.format(bytes: state.transferred)) new") }
    var text = ""
    for part in parts where text.count + part.count + 2 <= width { text += (text.isEmpty ? "" : ", ") + part }
    return text
  }
}

/// The rate of the last few seconds of a phase, in bytes per second.
private struct Rate {
  private var samples: [(seconds: Double, done: Int)] = []
  private var phase: Progress.Phase?
  private static let window = 5.0

  private(set) var perSecond = 0.0

  mutating func add(_ state: Progress.State, at seconds: Double) {
    if state.phase != phase {
      phase = state.phase
      samples = []
    }
    samples.append((seconds, state.done))
    samples.removeAll { seconds - $0.seconds > Self.window }
    guard let first = samples.first, seconds > first.seconds else {
      perSecond = 0
      return
    }
    perSecond = Double(state.done - first.done) / (seconds - first.seconds)
  }
}
