import CPlatform
import Commands
import Glibc

ck_forbid_dumps()
ck_allow_many_files()
let variables = ProcessVariables.current
exit(await Commands.CommandLine.run(Array(Swift.CommandLine.arguments.dropFirst()), variables: variables))
