import Commands
import Glibc

let variables = ProcessVariables.current
exit(await Commands.CommandLine.run(Array(Swift.CommandLine.arguments.dropFirst()), variables: variables))
