import Glibc

/// Runs a program and gives what it wrote to standard output.
///
/// It has no input, its errors are dropped, and it is killed with what it started when its time is over. Blocks its caller.
///
/// - Parameters:
///   - words: the program, looked up in PATH, and its arguments.
///   - variables: all its environment variables; nil gives it this program's own.
///   - seconds: how long it may take.
///   - limit: the most bytes that it may write.
/// - Returns: nil where it could not be started, failed, took too long or wrote too much.
public func programOutput(
  _ words: [String], variables: [String: String]? = nil, seconds: Double, limit: Int
) -> [UInt8]? {
  var ends: [Int32] = [0, 0]
  guard pipe(&ends) == 0 else { return nil }
  for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
  defer { close(ends[0]) }
  guard let process = spawn(words, variables, output: ends[1]) else {
    close(ends[1])
    return nil
  }
  close(ends[1])
  let output = read(ends[0], until: Timestamp.now().nanoseconds + Int64(seconds * 1e9), limit: limit)
  let status = output == nil ? nil : end(of: process, within: seconds)
  if status == nil {
    // Its group has its number. One that hangs in a dead file system does not even die; it must not hold up whoever asked.
    kill(-process, SIGKILL)
    _ = end(of: process, within: 1)
  }
  return status == 0 ? output : nil
}

/// How a process ended; nil where it has not within so many seconds.
private func end(of process: pid_t, within seconds: Double) -> Int32? {
  let end = ContinuousClock.now + .seconds(seconds)
  var status: Int32 = 0
  while true {
    let found = waitpid(process, &status, WNOHANG)
    if found == process { return status }
    if found < 0, errno != EINTR { return nil }
    if ContinuousClock.now >= end { return nil }
    usleep(1000)
  }
}

/// Starts a program in a process group of its own.
private func spawn(_ words: [String], _ variables: [String: String]?, output: Int32) -> pid_t? {
  var actions = posix_spawn_file_actions_t()
  var attributes = posix_spawnattr_t()
  posix_spawn_file_actions_init(&actions)
  posix_spawnattr_init(&attributes)
  defer {
    posix_spawn_file_actions_destroy(&actions)
    posix_spawnattr_destroy(&attributes)
  }
  posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0)
  posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO)
  posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0)
  posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETPGROUP))
  posix_spawnattr_setpgroup(&attributes, 0)
  var arguments: [UnsafeMutablePointer<CChar>?] = words.map { strdup($0) } + [nil]
  var settings: [UnsafeMutablePointer<CChar>?] =
    (variables ?? [:]).map { strdup("\($0.key)=\($0.value)") } + [nil]
  defer { for word in arguments + settings { free(word) } }
  var process = pid_t()
  guard let program = words.first,
    (variables == nil
      ? posix_spawnp(&process, program, &actions, &attributes, &arguments, environ)
      : posix_spawnp(&process, program, &actions, &attributes, &arguments, &settings)) == 0
  else { return nil }
  return process
}

/// Reads to the end; nil where that does not come in time or within the limit.
private func read(_ descriptor: Int32, until end: Int64, limit: Int) -> [UInt8]? {
  var output: [UInt8] = []
  var buffer = [UInt8](repeating: 0, count: 4096)
  while true {
    let left = end - Timestamp.now().nanoseconds
    guard left > 0 else { return nil }
    var waiting = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
    let ready = poll(&waiting, 1, Int32(clamping: left / 1_000_000 + 1))
    if ready < 0, errno == EINTR { continue }
    guard ready > 0 else { return nil }
    let count = Glibc.read(descriptor, &buffer, buffer.count)
    if count < 0, errno == EINTR { continue }
    guard count >= 0, output.count + count <= limit else { return nil }
    if count == 0 { return output }
    output += buffer[..<count]
  }
}
