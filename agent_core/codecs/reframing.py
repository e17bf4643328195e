"""An answer of one wire, said on another: bytes in, bytes out, without a server and without I/O.

There is no translator for any pair. The source's decoder makes events of what came, the target's encoder writes them:

    bytes of the source ──► StreamDecoder ──► events ──► StreamEncoder ──► bytes of the target

So what a pair keeps is what each of its two wires keeps. Source and target may be the same wire: then the stream is put
in order (one id, blocks one after the other, an end that says what happened), and bytes nobody wants changed are better
passed on as they came.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from ..errors import MalformedStream, ModelError
from ..events import Completed, OutputItemDone, Response, ResponseEvent
from ..items import WireName
from ..prompt import Prompt
from . import codec_for
from .answer_words import stopped_by_error
from .base import Compat, Loss
from .whole import completed, cut_answer

__all__ = ["Reframed", "Reframer"]

_BLANK = b"\xef\xbb\xbf \t\r\n"
_EVENT_STREAM = (b"data:", b"event:", b":", b"id:", b"retry:")


class Reframed(NamedTuple):
    """A whole HTTP answer of the target wire: an answer of the model, or an error."""

    status: int
    headers: dict[str, str]
    body: bytes


class Reframer:
    """One answer on its way from one wire to another: `feed` and `close` for a stream, `answer` for a whole body.

    Feed bytes as they come, in any split; the output does not depend on it. At the end of the body call `close`, or
    `fail` if reading it failed. Either ends the target's stream: with its own last words if the answer was whole, with
    its error if it was not. Nothing that was cut or refused ever looks whole. Never raises for what a peer sent.
    """

    error: ModelError | None
    """What the stream ended with, where it did not end well. While nothing was written yet, `wrote` is False and an
    HTTP error is still possible: `codec.encode_error(reframer.error)`."""
    done: bool
    """The answer is over: stop reading. What is fed after it is not looked at."""
    wrote: bool
    """Some bytes were returned."""

    __slots__ = (
        "_compat",
        "_decoder",
        "_encoder",
        "_losses",
        "_prompt",
        "_source",
        "_target",
        "_whole",
        "done",
        "error",
        "wrote",
    )

    def __init__(
        self,
        source: WireName,
        target: WireName,
        prompt: Prompt | None = None,
        *,
        compat: Compat | None = None,
        include_usage: bool = False,
    ) -> None:
        self.error = None
        self.done = False
        self.wrote = False
        self._source = codec_for(source)
        self._target = codec_for(target)
        self._prompt = Prompt() if prompt is None else prompt
        self._compat = Compat() if compat is None else compat
        self._decoder = self._source.stream_decoder(self._prompt, self._compat)
        self._encoder = self._target.stream_encoder(self._prompt, include_usage=include_usage)
        self._losses: dict[Loss, None] = {}
        self._whole: Response | None = None

    def feed(self, data: bytes) -> bytes:
        """The target's bytes for what has come; often some, at times none, e.g. for half an event."""
        if self.done:
            return b""
        return self._written(self._decoder.feed(data))

    def close(self) -> bytes:
        """The source's body is over."""
        if self.done:
            return b""
        return self._written(self._decoder.close())

    def fail(self, error: ModelError) -> bytes:
        """Reading the source failed. Where the answer was whole already (Chat, waiting for usage), this is its end."""
        if self.done:
            return b""
        if self._decoder.finishing:
            return self.close()
        events = self._decoder.close()
        error.partial = self._decoder.snapshot()
        return self._written(events, error)

    @property
    def response(self) -> Response:
        """The answer so far; after its end, the whole of it: for logs and bills."""
        return self._decoder.snapshot() if self._whole is None else self._whole

    @property
    def losses(self) -> tuple[Loss, ...]:
        """What of the answer so far the target's wire could not carry, each thing once."""
        return tuple(self._losses)

    def answer(self, status: int, body: bytes, headers: Mapping[str, str] | None = None) -> Reframed:
        """A body that came whole: an answer, an error by its status, or one with status 200.

        An event stream is folded first: this is how one becomes a whole answer. What is no answer of the source's wire
        becomes an error of the target's, with the status that says whose fault it was (502).
        """
        self.done = True
        headers = {} if headers is None else headers
        if not 200 <= status < 300:
            return self._refused(self._source.decode_error(status, headers, body))
        try:
            response = self._read_whole(body)
        except ModelError as error:
            return self._refused(error)
        if response.finish_reason == "error":
            return self._refused(stopped_by_error(response.native_reason))
        self._whole = response
        self._note([*(OutputItemDone(n, item) for n, item in enumerate(response.items)), completed(response)])
        self.wrote = True
        return Reframed(200, {"content-type": "application/json"}, self._target.encode_response(response, self._prompt))

    def _read_whole(self, body: bytes) -> Response:
        if not body.lstrip(_BLANK).startswith(_EVENT_STREAM):
            try:
                return self._source.decode_response(body, self._prompt, self._compat)
            except MalformedStream as error:
                raise cut_answer(body) or error from error
        self._decoder.feed(body)
        self._decoder.close()
        if self._decoder.error is not None:
            raise self._decoder.error
        return self._decoder.snapshot()

    def _refused(self, error: ModelError) -> Reframed:
        self.error = error
        self.wrote = True
        return Reframed(*self._target.encode_error(error))

    def _written(self, events: Iterable[ResponseEvent], failure: ModelError | None = None) -> bytes:
        """The events, and the end of the stream if it has come. `failure` is the reason why it was cut, where known."""
        out: list[bytes] = []
        error = failure or self._decoder.error
        for event in events:
            if isinstance(event, Completed) and event.finish_reason == "error":
                error = stopped_by_error(event.native_reason)
                error.partial = self._decoder.snapshot()
            else:
                out.append(self._encoder.feed(event))
        self._note(events)
        if error is not None:
            out.append(self._encoder.fail(error))
        elif self._decoder.done:
            out.append(self._encoder.close())
        self.error = error
        self.done = self._decoder.done
        written = b"".join(out)
        self.wrote = self.wrote or bool(written)
        return written

    def _note(self, events: Iterable[ResponseEvent]) -> None:
        for event in events:
            if isinstance(event, (OutputItemDone, Completed)):
                said = event.item if isinstance(event, OutputItemDone) else event
                self._losses.update(dict.fromkeys(self._target.answer_losses(said)))
