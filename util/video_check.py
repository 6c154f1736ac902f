"""Whether a video delivers what its container promises.

In every container, each packet must give a frame, none may be cut short, and the decoder must meet no error. A wrong
bit that is no error to the decoder cannot be detected. What else can be checked depends on the container; there is one
class for each.

    account = open_account(stream, rate)  # then pass it all packets, frames and errors, and close it
"""

from collections import deque
from fractions import Fraction

# A video that lacks more than both of these is an error. If it lacks less, that is a warning. Headers that are off by a
# frame or two, and first pictures that depend on one before the start, are common in videos that nobody calls damaged.
FEW = 2  # frames
SHARE = 0.05  # of all frames

PICTURE = b"\0\0\1\xb6"  # a picture of MPEG-4 begins with this
NO_PICTURE = 20  # bytes; a shorter MPEG-4 packet may only say that the previous picture stays
JUMP = 1.0  # seconds by which a time may be off before it counts as wrong
PAUSE = 60.0  # seconds that a frame may last if the container does not say when the video ends
HEAD = 10_000  # bytes of a Matroska file before its first frame
BETWEEN = 64  # bytes between two frames of a Matroska file; the headers of a cluster and a block need fewer


def open_account(stream, rate):
    """An account of `stream`, a video stream of PyAV. rate: frames a second."""
    kinds = {"avi": _Avi, "mov": _Mp4, "matroska": _Matroska, "mpeg": _Mpeg}
    return kinds.get(stream.container.format.name.partition(",")[0], Account)(stream, rate)


def seconds(stamp, time_base):
    """A timestamp of PyAV in seconds; None for None."""
    return None if stamp is None else float(stamp * Fraction(time_base))


class Account:
    """Counts what a stream delivers. This one is for containers that promise nothing."""

    latest = None  # time of display that a frame may have, seconds
    pause = PAUSE

    def __init__(self, stream, rate):
        self.stream, self.rate = stream, rate
        self.n_packets = self.n_silent = self.n_errors = self.n_frames = self.n_damaged = 0
        self.n_packed = 0  # pictures that the packets so far have too many
        self.shift = 0.0  # seconds
        self.signs = []  # of damage

    def packet(self, packet):
        """Counts a packet. Expects the packets of all streams, in the order of the file."""
        if packet.is_corrupt:
            self.signs.append("a packet is cut short")
        if self._is_own(packet) and not packet.is_discard:
            self.n_packets += 1
            self.n_silent += self._is_silent(packet)

    def error(self, error):
        """Counts an error of FFmpeg."""
        self.n_errors += 1
        self.signs.append(error.strerror)

    def frame(self, frame):
        """Counts a frame."""
        self.n_frames += 1
        self.n_damaged += frame.is_corrupt

    def begin(self, frame, former_end):
        """Seconds at which a frame begins. former_end: where the previous frame ends, used if the time is missing or
        impossible.

        frame: None stands for the end of the video.
        """
        begin = None if frame is None else seconds(frame.pts, self.stream.time_base)
        if begin is None:
            return former_end
        if self.latest is None:  # times start anew where streams were joined
            if abs(begin + self.shift - former_end) > self.pause:
                self.shift = former_end - begin
            return begin + self.shift
        if begin > self.latest + JUMP:
            self.n_damaged += 1
            self.signs.append("a frame stands behind the end")
            return former_end
        return begin

    def close(self, warn):
        """Call this after the last frame. Calls `warn` with one line if a little is missing or damaged.

        ValueError: no frames, or more than a little is missing or damaged.
        """
        name, undecoded = self.stream.container.name, self.n_packets - self.n_frames
        missing = self._missing() + max(undecoded - self.n_silent, min(undecoded, self.n_errors), 0)
        n = self.n_frames + missing
        if not n:
            raise ValueError(f"{name}: has no frames; expected a video; copy or convert it again, or take it out")
        if not (missing or self.n_damaged or self.signs):
            return
        line = f"{name}: has {self.n_frames} of {n} frames"
        line += f", {self.n_damaged} of them damaged" if self.n_damaged else ""
        line += f" ({self.signs[0]})" if self.signs else ""
        if missing + self.n_damaged > max(FEW, SHARE * n) or not self.n_frames:
            raise ValueError(f"{line}; copy it again, convert it to keep what it has, or take it out")
        warn(line)

    def _is_silent(self, packet):
        """Whether a packet gives no frame by design."""
        codec = self.stream.codec_context.name
        if codec == "vp8":
            return not bytes(packet)[0] & 0x10  # a picture that only others refer to
        if codec != "mpeg4":
            return False
        if packet.size >= NO_PICTURE:
            self.n_packed += max(bytes(packet).count(PICTURE) - 1, 0)
            return False
        if self.n_packed:  # DivX packs two pictures into one packet, and then the second one's packet is empty
            self.n_packed -= 1
            return False
        return True

    def _missing(self):
        """Number of the stream's packets that are not in the file, as far as the container tells."""
        return 0

    def _is_own(self, packet):
        return packet.stream_index == self.stream.index

    def _frames_in(self, duration):
        return max(round(duration * self.rate), 0)

    def _end_of(self, packet, stamp):
        lasts = seconds(packet.duration, packet.time_base) or float(self._is_own(packet) / self.rate)
        return seconds(stamp, packet.time_base) + lasts


class _Avi(Account):
    """Promises a number of slots. If a slot is empty, the previous picture stays."""

    def __init__(self, stream, rate):
        super().__init__(stream, rate)
        self.promised, self.end = seconds(stream.frames or None, stream.time_base), 0.0

    def packet(self, packet):
        super().packet(packet)
        if self._is_own(packet) and packet.dts is not None:
            self.end = self._end_of(packet, packet.dts)

    def begin(self, frame, former_end):
        """AVI has no times of display, only slots at a constant rate. Where DivX packed two frames into one slot, the
        pts that FFmpeg makes up jump back and forth although the frames come in order. So the slots are the clock.
        """
        if frame is None:
            return max(former_end, self.end)
        return former_end if frame.dts is None else seconds(frame.dts, self.stream.time_base)

    def _missing(self):
        return self._frames_in(self.promised - self.end) if self.promised else 0


class _Mp4(Account):
    """Promises how long the video lasts after the cuts of an edit list. A fragmented file promises nothing.

    An edit list that cuts most of the video is a sign of damage: a wrong time scale makes it so.
    """

    def __init__(self, stream, rate):
        super().__init__(stream, rate)
        self.promised = seconds(stream.duration if stream.frames else None, stream.time_base)
        self.offset = seconds(stream.start_time or 0, stream.time_base)
        self.latest = self.promised and self.offset + self.promised
        self.start, self.end, self.display_end = None, 0.0, self.offset
        self.n_discarded = 0

    def packet(self, packet):
        super().packet(packet)
        if not self._is_own(packet) or None in (packet.dts, packet.pts):
            return
        self.start = seconds(packet.dts, packet.time_base) if self.start is None else self.start
        self.end = self._end_of(packet, packet.dts)
        if packet.is_discard:
            self.n_discarded += 1
        else:
            self.display_end = max(self.display_end, self._end_of(packet, packet.pts))

    def _missing(self):
        if not self.promised:
            return 0
        if self.n_packets < self.stream.frames / 2 and self.n_discarded:
            self.signs.append(f"an edit list shows only {self.n_packets} of {self.stream.frames}")
        lasts = min(self.end - (self.start or 0.0), self.display_end - self.offset)
        missing = self._frames_in(self.promised - lasts)
        if self.n_discarded:  # by the edit list, or because their times are wrong
            missing = max(missing, self._frames_in(self.promised) - self.n_packets)
        return missing


class _Matroska(Account):
    """Promises how long the longest track lasts. Its blocks leave no gaps: a gap between two is where blocks were."""

    def __init__(self, stream, rate):
        super().__init__(stream, rate)
        self.promised = self.latest = seconds(stream.container.duration, Fraction(1, 1_000_000))
        self.end = 0.0  # of all streams
        self.first = None  # time of display, seconds
        self.times = deque(maxlen=16)  # the last ones
        self.position = self.reach = None  # bytes: where the last packet begins and ends
        self.has_gap = False

    def packet(self, packet):
        super().packet(packet)
        if packet.pts is not None:
            self.end = max(self.end, self._end_of(packet, packet.pts))
            if self._is_own(packet):
                self.times.append(seconds(packet.pts, packet.time_base))
                self.first = self.times[-1] if self.first is None else min(self.first, self.times[-1])
        if packet.pos is None:
            return
        if packet.pos == self.position:  # several frames in one block
            self.reach += packet.size
            return
        if self.reach is None and packet.pos > HEAD:
            self.has_gap, self.first = True, 0.0
        elif self.reach is not None and packet.pos > self.reach + BETWEEN:
            self.has_gap = True
        self.position, self.reach = packet.pos, packet.pos + packet.size

    def _missing(self):
        missing = self._frames_in(self.promised - self.end) if self.promised else 0
        if not self.times:
            return missing
        last = max(self.times)
        if self.has_gap:
            missing += max(self._frames_in(last - self.first) + 1 - self.n_packets, 0)
        elif self.stream.codec_context.has_b_frames:  # those shown before the last frame may come after it in the file
            arrived = sum(time > last - float((FEW + 0.5) / self.rate) for time in self.times)
            missing += max(min(FEW + 1, self.n_packets) - arrived, 0)
        return missing


class _Mpeg(Account):
    """A program stream. Promises nothing: FFmpeg estimates its duration from what is there. Its rate is constant."""

    pause = JUMP
