import Platform

/// What a layout tells of a checkpoint.
public struct Findings: Equatable, Sendable {
  /// The layout's name, with `+` before each variant.
  public var layout: String
  /// The training step.
  public var step: Int?
  /// The values that the checkpoint records of its training: `loss`, `learning_rate`, `epoch`, `eval_…`, `best_metric`. All finite.
  public var metrics: [String: Double] = [:]
  /// What the training called its best so far.
  public var best: BestMetric?
  /// How the training was spread over processes.
  public var parallelism = Parallelism()
  /// The parts that are there and the files that hold them, in order; a file may hold several.
  public var parts: [Part: [RelativePath]] = [:]
  /// What keeps the checkpoint from being whole, beyond what single files tell.
  public var defects: [Defect] = []
  /// What its owner should know although it is whole.
  public var notices: [Notice] = []
  /// Hyper-parameters that stand in pickles, by the file that has them.
  public var hyperparameters: [String: JSONValue] = [:]
  /// What an adapter belongs to.
  public var base: BaseModel?
  /// What the weights consist of, the largest first; empty where no header tells.
  public internal(set) var modules: [ModelModule] = []
  /// Versions of frameworks that the checkpoint records, by framework.
  public var versions: [String: String] = [:]

  init(layout: String, step: Int? = nil) {
    self.layout = layout
    self.step = step
  }

  /// What can be done with it, by its parts.
  public var use: Use { Use(parts: Set(parts.keys)) }

  /// Notes that `files` hold a part; nothing where there are none.
  mutating func add(_ part: Part, _ files: some Sequence<RelativePath>) {
    let files = Array(files)
    if !files.isEmpty { parts[part, default: []] = Set(parts[part, default: []] + files).sorted() }
  }

  /// A part of a checkpoint.
  public enum Part: String, Codable, CaseIterable, Sendable {
    /// The model's or the adapter's weights.
    case weights
    /// The optimizer's state.
    case optimizer
    /// The learning-rate schedule's state.
    case schedule
    /// Step, epoch, log, place in the data.
    case progress
    /// The random generators' states.
    case random
    /// What the model and the training were set to.
    case configuration
  }

  /// How the training was spread, each as far as the checkpoint tells.
  public struct Parallelism: Codable, Equatable, Sendable {
    /// How many processes trained.
    public var world: Int?
    /// How many processes share the work on different data.
    public var data: Int?
    /// Into how many pieces each tensor is cut.
    public var tensor: Int?
    /// Into how many stages the layers are cut.
    public var pipeline: Int?
    /// Into how many groups the experts are dealt.
    public var expert: Int?
    /// DeepSpeed's ZeRO stage, 0...3.
    public var zeroStage: Int?

    enum CodingKeys: String, CodingKey {
      case world, data, tensor, pipeline, expert
      case zeroStage = "zero_stage"
    }

    /// Nothing known.
    public init() {}
  }

  /// What a checkpoint is good for.
  public enum Use: String, Codable, Sendable {
    /// Training goes on exactly as it would have.
    case resume
    /// Training goes on, with other random numbers: shuffling and dropout differ.
    case resumeWithoutRandomState = "resume_without_random_state"
    /// Training goes on, but the learning-rate schedule starts anew.
    case resumeWithoutSchedule = "resume_without_schedule"
    /// Training goes on from these weights with an empty optimizer.
    case resumeWithoutOptimizer = "resume_without_optimizer"
    /// Weights alone.
    case inference
    /// No weights were found.
    case unknown

    /// What these parts are good for.
    package init(parts: Set<Part>) {
      guard parts.contains(.weights) else {
        self = .unknown
        return
      }
      guard parts.contains(.progress) || parts.contains(.optimizer) else {
        self = .inference
        return
      }
      if !parts.contains(.optimizer) {
        self = .resumeWithoutOptimizer
      } else if !parts.contains(.schedule) {
        self = .resumeWithoutSchedule
      } else {
        self = parts.contains(.random) ? .resume : .resumeWithoutRandomState
      }
    }

    /// Whether training can go on with its optimizer.
    public var isResumable: Bool {
      switch self {
      case .resume, .resumeWithoutRandomState, .resumeWithoutSchedule: true
      case .resumeWithoutOptimizer, .inference, .unknown: false
      }
    }

    /// The words for people, to stand alone or behind a comma.
    public var words: String {
      switch self {
      case .resume: "training can go on exactly"
      case .resumeWithoutRandomState: "training can go on, with other random numbers"
      case .resumeWithoutSchedule: "training can go on, but the learning-rate schedule starts anew"
      case .resumeWithoutOptimizer: "training can go on with an empty optimizer"
      case .inference: "for inference only"
      case .unknown: "no weights were recognised"
      }
    }
  }
}

/// The metric by which a training names its best checkpoint.
public struct BestMetric: Equatable, Sendable {
  /// Its name, for example `eval_loss`; nil where it cannot be told.
  public var name: String?
  /// Its best value so far.
  public var value: Double
  /// The step of that value.
  public var step: Int?
  /// Whether larger values are better; nil where it cannot be told.
  public var greaterIsBetter: Bool?
}
