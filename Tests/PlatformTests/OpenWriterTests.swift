import Glibc
import Platform
import TestSupport
import Testing

@Suite("Open writers") struct OpenWriterTests {
  /// Runs `body` while a shell has done `command` and waits.
  private func whileShell(_ command: String, _ body: (pid_t) throws -> Void) throws {
    var ends: [Int32] = [0, 0]
    try #require(pipe(&ends) == 0)
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    posix_spawn_file_actions_adddup2(&actions, ends[1], 1)
    let words = ["sh", "-c", command + "; echo ready; exec sleep 60"]
    var arguments: [UnsafeMutablePointer<CChar>?] = words.map { strdup($0) } + [nil]
    defer { for argument in arguments { free(argument) } }
    var pid = pid_t()
    try #require(posix_spawn(&pid, "/bin/sh", &actions, nil, &arguments, environ) == 0)
    posix_spawn_file_actions_destroy(&actions)
    close(ends[1])
    defer {
      kill(pid, SIGKILL)
      waitpid(pid, nil, 0)
      close(ends[0])
    }
    var byte: UInt8 = 0
    try #require(read(ends[0], &byte, 1) == 1)
    try body(pid)
  }

  /// What is found of a file, once that is the processes that are expected, or after a second. What other tests start has this
  /// process's files open for a moment, until it becomes another program.
  private func found(_ path: String, expecting pids: [Int] = []) throws -> [OpenWriter] {
    var status = stat()
    try #require(stat(path, &status) == 0)
    let name = Array(path.utf8.split(separator: UInt8(ascii: "/")).last ?? [])
    for _ in 0..<100 {
      let writers = OpenWriter.find([FileIdentity(FileStatus(status))], names: [name])
      if writers.map(\.pid) == pids { return writers }
      usleep(10_000)
    }
    return OpenWriter.find([FileIdentity(FileStatus(status))], names: [name])
  }

  @Test("a process that has a file open for writing or appending is found with its program")
  func writing() throws {
    let scratch = try Scratch()
    let path = try scratch.write("some file.safetensors", "x")
    for mode in [">>", ">", "<>"] {
      try whileShell("exec 3\(mode)'\(path)'") { pid in
        let writers = try found(path, expecting: [Int(pid)])
        #expect(writers.map(\.pid) == [Int(pid)], "\(mode)")
        #expect(["sh", "dash", "bash", "sleep"].contains(writers.first?.program ?? ""))
      }
    }
    #expect(try found(path).isEmpty, "it has ended")
  }

  @Test("a process that reads a file, or has another of the same name open, is no writer of it")
  func others() throws {
    let scratch = try Scratch()
    let path = try scratch.write("a/model.safetensors", "x")
    let other = try scratch.write("b/model.safetensors", "x")
    try whileShell("exec 3<'\(path)' 4>>'\(other)'") { pid in
      let writers = (try found(path), try found(other, expecting: [Int(pid)]))
      #expect(writers.0.isEmpty && writers.1.map(\.pid) == [Int(pid)])
    }
  }

  @Test("this process itself is not told")
  func itself() throws {
    let scratch = try Scratch()
    let path = try scratch.write("own", "x")
    let descriptor = open(path, O_WRONLY)
    defer { close(descriptor) }
    #expect(try found(path).isEmpty)
  }
}
