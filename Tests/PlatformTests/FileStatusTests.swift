import Glibc
import Testing

@testable import Platform

struct FileStatusTests {
  @Test func blocksThatAreAllocatedLateAreNoChange() {
    var facts = stat()
    (facts.st_size, facts.st_blocks, facts.st_ino) = (4096, 0, 7)
    let before = FileStatus(facts)
    facts.st_blocks = 8
    #expect(FileStatus(facts).isUntouched(since: before))
    facts.st_ctim.tv_nsec = 1
    #expect(!FileStatus(facts).isUntouched(since: before))
  }
}
