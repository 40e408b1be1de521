import CPlatform
import Commands
import Glibc

ck_forbid_dumps()
let variables = ProcessVariables.current
exit(await Commands.CommandLine.run(Array(Swift.CommandLine.arguments.dropFirst()), variables: variables))
