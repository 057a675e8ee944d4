"""Which system calls a sandboxed tool may make, and their numbers."""


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


AUDIT = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
"""What the kernel calls an architecture."""

ALLOWED = _words(
    # memory
    "brk munmap mremap madvise "
    # files that are open, and reading what Landlock leaves
    "read readv pread64 write writev close close_range lseek fstat newfstatat statx stat lstat "
    "getdents64 readlink readlinkat access faccessat faccessat2 getcwd umask fadvise64 "
    "dup dup2 dup3 pipe pipe2 "
    # waiting
    "select pselect6 poll ppoll epoll_create1 epoll_ctl epoll_wait epoll_pwait epoll_pwait2 "
    "eventfd2 nanosleep clock_nanosleep futex sched_yield restart_syscall recvfrom "
    # time, chance and who one is
    "clock_gettime clock_getres gettimeofday time times getrusage getrlimit getrandom uname "
    "getpid getppid gettid getuid geteuid getgid getegid sched_getaffinity "
    # its own signals, and its end
    "rt_sigaction rt_sigprocmask rt_sigreturn sigaltstack exit exit_group"
)
"""With whatever arguments; those that are allowed with some stand in ``filter``."""

CHECKED = _words("mmap mprotect fcntl openat socketpair sendto prlimit64 ioctl clone3")

_X86_64 = (
    "read 0 write 1 close 3 stat 4 fstat 5 lstat 6 poll 7 lseek 8 mmap 9 mprotect 10 munmap 11 "
    "brk 12 rt_sigaction 13 rt_sigprocmask 14 rt_sigreturn 15 ioctl 16 pread64 17 readv 19 "
    "writev 20 access 21 pipe 22 select 23 sched_yield 24 mremap 25 madvise 28 dup 32 dup2 33 "
    "nanosleep 35 getpid 39 sendto 44 recvfrom 45 socketpair 53 exit 60 uname 63 fcntl 72 "
    "getcwd 79 readlink 89 umask 95 gettimeofday 96 getrlimit 97 getrusage 98 times 100 "
    "getuid 102 getgid 104 geteuid 107 getegid 108 getppid 110 sigaltstack 131 gettid 186 "
    "time 201 futex 202 sched_getaffinity 204 getdents64 217 restart_syscall 219 fadvise64 221 "
    "clock_gettime 228 clock_getres 229 clock_nanosleep 230 exit_group 231 epoll_wait 232 "
    "epoll_ctl 233 openat 257 newfstatat 262 readlinkat 267 faccessat 269 pselect6 270 ppoll 271 "
    "epoll_pwait 281 eventfd2 290 epoll_create1 291 dup3 292 pipe2 293 prlimit64 302 "
    "getrandom 318 statx 332 clone3 435 close_range 436 faccessat2 439 epoll_pwait2 441"
)
_AARCH64 = (
    "getcwd 17 eventfd2 19 epoll_create1 20 epoll_ctl 21 epoll_pwait 22 dup 23 dup3 24 fcntl 25 "
    "ioctl 29 faccessat 48 openat 56 close 57 pipe2 59 getdents64 61 lseek 62 read 63 write 64 "
    "readv 65 writev 66 pread64 67 pselect6 72 ppoll 73 readlinkat 78 newfstatat 79 fstat 80 "
    "exit 93 exit_group 94 futex 98 nanosleep 101 clock_gettime 113 clock_getres 114 "
    "clock_nanosleep 115 sched_getaffinity 123 sched_yield 124 restart_syscall 128 "
    "sigaltstack 132 rt_sigaction 134 rt_sigprocmask 135 rt_sigreturn 139 times 153 uname 160 "
    "getrlimit 163 getrusage 165 umask 166 gettimeofday 169 getpid 172 getppid 173 getuid 174 "
    "geteuid 175 getgid 176 getegid 177 gettid 178 socketpair 199 sendto 206 recvfrom 207 "
    "brk 214 munmap 215 mremap 216 mmap 222 fadvise64 223 mprotect 226 madvise 233 "
    "prlimit64 261 getrandom 278 statx 291 clone3 435 close_range 436 faccessat2 439 "
    "epoll_pwait2 441"
)


def _table(text: str) -> dict[str, int]:
    words = _words(text)
    return dict(zip(words[::2], map(int, words[1::2]), strict=True))


NUMBERS = {"x86_64": _table(_X86_64), "aarch64": _table(_AARCH64)}
"""By architecture; the newer one lacks what others have replaced."""
