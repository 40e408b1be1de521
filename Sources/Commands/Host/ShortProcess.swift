import Glibc

/// A program that is asked for a few lines and ended where it takes too long.
struct ShortProcess {
  /// The program's path.
  let program: String
  /// Its arguments, without its name.
  let arguments: [String]
  /// All its environment variables.
  let variables: [String: String]

  /// What it prints, at most `limit` bytes; nil where it cannot be started, fails, or takes longer than so many
  /// seconds. Blocks for at most twice that time and a second.
  func output(within seconds: Double, limit: Int) -> [UInt8]? {
    var ends: [Int32] = [-1, -1]
    guard pipe(&ends) == 0 else { return nil }
    for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
    defer { close(ends[0]) }
    let child = start(output: ends[1])
    close(ends[1])
    guard let child else { return nil }
    let (bytes, isAtEnd) = Self.read(ends[0], within: seconds, limit: limit)
    let status = isAtEnd ? Self.status(of: child, within: seconds) : nil
    if status == nil {
      kill(child, SIGKILL)
      // One that hangs in a dead file system does not even die; it must not hold up whoever asked.
      _ = Self.status(of: child, within: 1)
    }
    return status == 0 || bytes.count >= limit ? bytes : nil
  }

  /// How a child ended; nil where it has not within so many seconds.
  private static func status(of child: pid_t, within seconds: Double) -> Int32? {
    let end = ContinuousClock.now + .seconds(seconds)
    var status: Int32 = 0
    while true {
      let found = waitpid(child, &status, WNOHANG)
      if found == child { return status }
      if found < 0, errno != EINTR { return nil }
      if ContinuousClock.now >= end { return nil }
      usleep(1000)
    }
  }

  private func start(output: Int32) -> pid_t? {
    var actions = posix_spawn_file_actions_t()
    guard posix_spawn_file_actions_init(&actions) == 0 else { return nil }
    defer { posix_spawn_file_actions_destroy(&actions) }
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
    posix_spawn_file_actions_adddup2(&actions, output, 1)
    posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0)
    var words: [UnsafeMutablePointer<CChar>?] = ([program] + arguments).map { strdup($0) } + [nil]
    var settings: [UnsafeMutablePointer<CChar>?] = variables.map { strdup("\($0.key)=\($0.value)") } + [nil]
    defer { for word in words + settings { free(word) } }
    var child: pid_t = 0
    return posix_spawn(&child, program, &actions, nil, &words, &settings) == 0 ? child : nil
  }

  /// What comes until the other side closes, as long as there is time and room; whether the end was reached.
  private static func read(_ descriptor: Int32, within seconds: Double, limit: Int) -> ([UInt8], Bool) {
    let end = ContinuousClock.now + .seconds(seconds)
    var bytes: [UInt8] = []
    var block = [UInt8](repeating: 0, count: 4096)
    while bytes.count < limit {
      let left = (end - .now) / .milliseconds(1)
      var wait = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
      let ready = left > 0 ? poll(&wait, 1, Int32(min(left + 1, 60_000))) : 0
      if ready < 0, errno == EINTR { continue }
      guard ready > 0 else { return (bytes, false) }
      let count = Glibc.read(descriptor, &block, block.count)
      if count < 0, errno == EINTR { continue }
      guard count > 0 else { return (bytes, count == 0) }
      bytes += block.prefix(count)
    }
    return (bytes, false)
  }
}
