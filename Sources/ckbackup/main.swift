import CPlatform
import Commands
import Glibc

ck_forbid_dumps()
ck_allow_many_files()
let variables = ProcessVariables.current
let code = await Commands.CommandLine.run(
  Array(Swift.CommandLine.arguments.dropFirst()), variables: variables)
// The client's thread may still be closing TLS connections, and exit(3) would have libcrypto free what they use meanwhile
// (OPENSSL_cleanup(3)): a command that had done its work ended with "double free or corruption" once in a few hundred.
fflush(nil)
_exit(code)
