/// The machine and the code of a training, as whoever pushed found them. Nothing in it is needed for a restore.
public struct TrainingEnvironment: Codable, Equatable, Sendable {
  /// The state of a Git working tree.
  public struct Code: Codable, Equatable, Sendable {
    /// The working tree's directory.
    public var directory: String
    /// The commit, 40 or 64 hexadecimal digits.
    public var commit: String
    /// The branch that was checked out, or nil where it was none.
    public var branch: String?
    /// The address of the remote `origin`, without credentials.
    public var remote: String?
    /// Whether files that Git knows differed from the commit; nil where that was not found out.
    public var dirty: Bool?

    /// A working tree at a commit.
    public init(
      directory: String, commit: String, branch: String? = nil, remote: String? = nil, dirty: Bool? = nil
    ) {
      self.directory = directory
      self.commit = commit
      self.branch = branch
      self.remote = remote
      self.dirty = dirty
    }
  }

  /// Accelerators of one kind.
  public struct Device: Codable, Equatable, Sendable {
    /// The model, for example `NVIDIA H100 80GB HBM3`.
    public var name: String
    /// How many the machine has.
    public var count: Int

    /// So many accelerators of one kind.
    public init(name: String, count: Int) {
      self.name = name
      self.count = count
    }
  }

  /// The operating system's kernel and processor kind, for example `Linux 6.1.0 x86_64`.
  public var system: String?
  /// The code that was trained with.
  public var code: Code?
  /// The machine's accelerators.
  public var devices: [Device]
  /// Environment variables that tell of the training, by name; secrets are masked.
  public var variables: [String: String]
  /// Versions of installed packages that matter for training, by name. All packages are in `requirements.txt`.
  public var packages: [String: String]
  /// Lines `NAME==VERSION` of all installed packages; they become a file of the record instead of a member.
  public var requirements: [String] = []

  enum CodingKeys: String, CodingKey { case system, code, devices, variables, packages }

  /// What was found.
  public init(
    system: String? = nil, code: Code? = nil, devices: [Device] = [], variables: [String: String] = [:],
    packages: [String: String] = [:], requirements: [String] = []
  ) {
    self.system = system
    self.code = code
    self.devices = devices
    self.variables = variables
    self.packages = packages
    self.requirements = requirements
  }
}
