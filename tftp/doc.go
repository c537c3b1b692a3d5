// Package tftp serves boot files read-only from an fs.FS. The transfers are
// github.com/pin/tftp/v3's; this package stands between the port and the
// library and passes on only requests that the library handles well.
//
// What the library (v3.2.0) does, and what is done about it here:
//
//   - It matches option and mode names by case, although RFC 2347 says they have
//     none, and answers with whatever value the client wrote: a blksize of 600
//     zeros and "1468" overruns its buffer. The library never sees a client's
//     packet: it is given a new one that holds canonical options only.
//   - It limits blksize to the MTU less 28, which leaves no room for TFTP's own 4
//     bytes, so that every block is fragmented. Blocks are 1468 bytes at most.
//   - It hands over file names as sent, "../../etc/shadow" included. Names are
//     cleaned and checked before the library starts anything; what the library
//     gets as a name is a ticket that stands for the session.
//   - Each copy of a read request starts another transfer. Here a client has one
//     transfer of a file: see gate.
//   - It has no limit on sessions. Here they are counted, and more than
//     Server.Sessions of them wait in a queue.
//   - It sends again after 5.4, 11.2 and 16.4 seconds. Timeout and backoff are set:
//     1, 3, 6 and 11 seconds, and the end of it after 16.
//   - It counts the end of a size probe as a failure. EDK2 asks every file's tsize,
//     ends that transfer with ERROR 8, and then asks for the file. It is counted
//     as a probe here.
//   - It opens a socket and makes buffers before it refuses a write request, and
//     calls that an unknown error or "file not found". Writes are refused at the
//     port with code 2, and nothing else is done about them.
//   - It answers a client's ERROR with an ERROR, which a ROM with a fixed port takes
//     for the answer to its next request. It is kept from that: see Server.send.
//   - Its single-port mode is three times slower, and one stray packet poisons a
//     transfer; SetAnticipate sends ahead without having asked the client and
//     panics on a read error. Neither is used.
//   - It does not wait for the requests it is just starting when it is shut down.
//     The gate hands out nothing more and waits for every session first.
//   - A transfer's socket is not bound to the address the request came to, because the library
//     learns that only from a socket it reads itself. The kernel picks the
//     address of the route to the client. That is the right one unless the interface has
//     several; then the appliance's must be the first, or the route's src.
//   - blksize below 512 and the options timeout and windowsize are not supported.
//     RFC 2347 has unknown options left out of the answer, and the transfer goes
//     on without them.
//
// # RFC 7440 windowsize
//
// OVMF asks for windowsize=4. It was decided against by measurement. Its fetch of snponly.efi
// (174 kB, 119 blocks of 1468 bytes), from the size probe to the last
// acknowledgement, took 29 ms of the 9.8 s between power-on and the first script,
// 0.2 ms a block, nearly all of it the firmware's own work. A window of 4 could have saved three of four
// round trips: under 20 ms here, and 119 × 3/4 × 0.25 ms = 22 ms on a switched
// gigabit network, 0.2 % of a boot. Everything larger than the NBP travels over
// HTTP. Against that stand a second sender beside the library's and its
// retransmission, and bursts of 6 kB from a thousand clients into one switch port.
package tftp
