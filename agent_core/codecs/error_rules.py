"""What a peer's error means: one table from its words, its wording and its status to a class of the error tree.

Asked in this order: the rules (a word the peer uses as `code`, `type` or `status`, or its wording), then the HTTP
status, then the words that only say whose fault it is. The order of rules is the order of certainty: a prompt that is
too long, or a quota that is used up, is so whatever the status says (behaviours.md W-S1-09, pains.md 4). Wordings are
those of the recorded errors, of providers.md 3d and codex.md 3.6, and of the servers named beside them.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from ..errors import (
    ApiError,
    AuthenticationError,
    BadImageError,
    ContentFilterError,
    ContextLengthError,
    InvalidRequestError,
    ModelNotFoundError,
    OverloadedError,
    PermissionDeniedError,
    QuotaExceededError,
    RateLimitError,
    ServerError,
    UsageLimitError,
)

__all__ = ["Rule", "classify"]


@dataclass(frozen=True, slots=True)
class Rule:
    """One way to tell what a peer means.

    `words` match `code`, `type` and `status` whole, without case. `wording` (a pattern, compiled when the first error
    comes) is searched in the message, but only under `statuses`, where None stands for "the peer gave none".
    `retryable` and `remedy` replace the class's own where they are set.
    """

    kind: type[ApiError]
    words: frozenset[str] = frozenset()
    wording: str = ""
    statuses: frozenset[int | None] = frozenset()
    retryable: bool | None = None
    remedy: str = ""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


def _any(*patterns: str) -> str:
    return "|".join(patterns)


_REFUSALS: frozenset[int | None] = frozenset({None, 400, 404, 413, 415, 422, 500})

_RULES: tuple[Rule, ...] = (
    # Throttling is told in words that also describe long prompts ("too many tokens, please wait"): it goes first.
    Rule(
        ContextLengthError,
        # One request above the whole per-minute allowance never passes, however long one waits (Groq 413, OpenAI 429).
        wording=_any(r"request too large for (model|\S+ in organization)"),
        statuses=frozenset({None, 413, 429}),
        retryable=False,
    ),
    Rule(
        RateLimitError,
        wording=_any(r"rate[- ]limit(ed|s? (reached|exceeded))", r"too many requests"),
        statuses=frozenset({None, 429}),
    ),
    Rule(
        ContextLengthError,
        _words(
            "context_length_exceeded context_window_exceeded exceed_context_size_error too_many_prompt_tokens"
            " model_context_window_exceeded request_too_large max_tokens_exceeded input_too_long"
        ),
        _any(
            r"(prompt|input|request) (is )?too (long|large)\b(?! for (model|organization))",
            r"(maximum|model'?s|max|available|the) (context (length|size|window)|prompt length|model length)",
            r"context window exceeds",
            r"exceed\w* (the |this )?(model'?s? )?context (limit|window|length)",
            r"exceeded? model token limit",
            r"exceeds? (the )?maximum (number of tokens|allowed input length|input length)",
            r"input (token count|length|tokens?)\b.{0,60}\bexceed",
            r"prompt token count of \d+ exceeds",
            r"(reduce|shorten) the length of (the|your|either) (messages|prompt|input|one)",
            r"too large (for model with|to process)",
            r"total length of all messages is too long",
            r"range of input length should be",  # DashScope
            r"prompt exceeds max length",  # Z.AI 1261
            r"`?inputs`? tokens \+ `?max_new_tokens`? must be",  # TGI, Together
            r"too many (input |prompt |total )?tokens",
            r"token limit exceeded|exceeds token limit|context window full|context (length|window) exceeded",
            r"configured context size|context length of only|context the overflows",  # LM Studio, in its words
            r"must have less than \d+ tokens",  # TGI
            r"expected a string with maximum length",  # OpenAI: one text beyond 10 MiB
            r"prompt tokens? (is |are )?too (long|many)",
        ),
        frozenset({None, 400, 403, 413, 422, 500}),
    ),
    Rule(
        UsageLimitError,
        _words("usage_limit_reached usage_limit_exceeded workspace_owner_usage_limit_reached 1308 1310"),
        _any(
            r"usage limits? (has been )?(reached|exceeded)",
            r"(reached|hit|exceeded) your( \w+){0,3} usage limit",
            r"PerDay",  # Gemini's quotaId: the minute's quotas have the same words otherwise
        ),
        frozenset({None, 400, 403, 429}),
    ),
    Rule(
        QuotaExceededError,
        _words(
            "insufficient_quota quota_exceeded billing_error billing_hard_limit_reached billing_not_active"
            " exceeded_current_quota_error usage_not_included insufficient_balance insufficient_credits arrearage"
            " payment_required 1113 base_resp-1008 accountoverdueerror quotaexceeded"
        ),
        _any(
            r"credit balance is too low",
            r"insufficient (balance|credits?|funds|quota)",
            r"(requires|need) more credits",
            r"(no|out of|run out of|used all available) credits",
            r"extra usage is required",  # Anthropic's subscriptions: a 429 that no waiting mends
        ),
        frozenset({None, 400, 402, 403, 429}),
    ),
    Rule(
        ContentFilterError,
        _words(
            "content_filter content_policy_violation cyber_policy bio_policy data_inspection_failed moderation_blocked"
            " image_content_policy_violation responsibleaipolicyviolation content_moderation content_filtered 1301"
            " prohibited_content sensitivecontentdetected base_resp-1026 base_resp-1027"
        ),
        _any(
            r"content (management|filtering|usage|moderation) policy",
            r"(violat\w+|flagged).{0,40}(polic|usage|guideline|moderation)",
            r"(input|prompt|output|content) (was|has been|is)( \w+)? flagged",
            r"usage guidelines",
            r"(prompt|response|content) (was |has been )?blocked",
        ),
        frozenset({None, 400, 403, 422, 451, 500}),
    ),
    Rule(
        BadImageError,
        _words(
            "invalid_image invalid_image_url invalid_image_format invalid_image_mode invalid_base64_image"
            " image_parse_error image_too_large image_too_small image_file_too_large image_file_not_found"
            " unsupported_image_media_type empty_image_file failed_to_download_image unsupported_file"
            " media_budget_exceeded"
        ),
        _any(
            r"does not represent a valid image",  # codex.md 3.6
            r"(process|decode|identify) (the |input )?image",
            r"image (dimensions )?exceeds?",
            r"while downloading (https?:|the |file|image)",
            r"media_type: input should be",
            r"(unsupported|invalid|malformed|corrupt\w*) (image|file data|media|mime type)",
            r"(does not|doesn't|not) (support|accept) (image|vision|multimodal|file|audio|video)",
            r"(image|file|audio|video|vision)( \w+)? (is|are) not supported",
            r"support (image|audio|video|file) input",  # OpenRouter: "No endpoints found that support image input"
            r"unknown variant `(image_url|input_audio|input_image|file|video_url|input_file)`",
            r"unsupported content\[\]\.type",  # llama.cpp
            r"content blocks are expected to be either text or image_url",
        ),
        _REFUSALS,
    ),
    Rule(
        InvalidRequestError,
        _words("tool_use_failed"),
        # Groq: the model wrote a call its own server refuses; sampling again usually works (providers.md 3d).
        retryable=True,
        remedy="sample again: the model wrote a tool call its server refused; the body's failed_generation holds it",
    ),
    Rule(
        InvalidRequestError,
        _words(
            "previous_response_not_found item_not_found unsupported_parameter unsupported_value invalid_value"
            " invalid_function_parameters"
        ),
        _any(r"^item (with id )?'\w+'", r"previous response with id"),
        frozenset({None, 400, 404}),
    ),
    Rule(
        ModelNotFoundError,
        _words(
            "model_not_found not_found_error notfounderror model_not_available model_decommissioned model_not_supported"
            " deploymentnotfound invalid_model resource_not_found_error not_found 1211 invalidendpointormodel"
            " resourcenotfoundexception"
        ),
        _any(
            r"model\b.{0,120}(does not exist|doesn't exist|not found|is not available|not been found|decommissioned)",
            r"not found the model",  # Moonshot
            r"\bmodel not found",
            r"not a valid model",  # OpenRouter, recorded
            r"supported api model names are",  # DeepSeek, recorded
            r"(unknown|invalid|unsupported) model\b(?! output)",
            r"unable to access model",
        ),
        frozenset({None, 400, 404, 422}),
    ),
    Rule(
        AuthenticationError,
        _words(
            "invalid_api_key authentication_error authenticationerror incorrect_api_key invalid_authentication"
            " invalid_authentication_error unauthenticated unauthorized unauthorised invalid_token token_expired"
            " invalid_iam_token expired_api_key missing_api_key account_deactivated invalidapikey base_resp-1004"
            " base_resp-2049"
        ),
        _any(
            r"(incorrect|invalid|missing|no|expired) (x-)?api[- _]?key",  # xAI answers 400, recorded
            r"api[- _]?key (is )?(not valid|not found|invalid|expired|missing|required)",  # Gemini answers 400
            r"api[- _]?key was reported",  # Gemini answers 403
            r"invalid (authentication|authorization|bearer)",
            r"could not parse your authentication token",
        ),
        frozenset({None, 400, 401, 403}),
    ),
    Rule(
        OverloadedError,
        _words(
            "overloaded_error overloaded server_is_overloaded server_overloaded slow_down engine_overloaded"
            " engine_overloaded_error service_unavailable serviceunavailableerror service_unavailable_error unavailable"
            " unavailable_error capacity_exceeded resource_unavailable insufficient_system_resource 3505"
            " serveroverloaded modelnotreadyexception serviceunavailableexception"
        ),
        _any(r"overloaded", r"(at|over|no|insufficient) capacity", r"capacity exceeded", r"high (demand|load)"),
        frozenset({None, 429, 498, 500, 502, 503, 529}),
    ),
    Rule(
        RateLimitError,
        _words(
            "rate_limit_error rate_limit_exceeded rate_limit_reached ratelimitreached ratelimiterror resource_exhausted"
            " too_many_requests tokens requests concurrency_limit throttlingexception throttling throttling_error"
            " limit_requests ratelimitexceeded servicequotaexceededexception 1302 1303 1305 base_resp-1002"
            " base_resp-1039"
        ),
    ),
    Rule(
        QuotaExceededError,
        wording=_any(r"exceeded your current quota", r"check your plan and billing"),
        statuses=frozenset({None, 402, 403, 429}),
    ),
    Rule(
        PermissionDeniedError,
        _words("permission_error permission_denied permissiondeniederror forbidden accessdeniedexception accessdenied"),
        r"organization must be verified",  # OpenAI answers 400
        frozenset({None, 400, 403, 404}),
    ),
    Rule(
        # llama.cpp says "not with this server" with a 500 or 501: it will say so again.
        InvalidRequestError,
        _words("not_supported_error"),
        _any(r"requires --[\w-]+ flag", r"^cannot use both"),
        frozenset({500, 501}),
    ),
)

_BY_STATUS: Mapping[int, type[ApiError]] = {
    401: AuthenticationError,
    402: QuotaExceededError,
    403: PermissionDeniedError,
    404: ModelNotFoundError,
    408: ServerError,
    409: ServerError,
    413: ContextLengthError,  # whoever says it, a proxy too: less has to be sent
    425: ServerError,
    429: RateLimitError,
    451: ContentFilterError,
    498: OverloadedError,  # Groq: flex capacity exceeded
    501: InvalidRequestError,
    503: OverloadedError,
    529: OverloadedError,
}

_REQUEST_AT_FAULT = _words(
    "invalid_request_error invalid_argument invalid-argument invalid_prompt badrequesterror bad_request"
    " validation_error unprocessable_entity invalid_request"
)


_REDIRECTED = Rule(
    InvalidRequestError,
    remedy="set base_url to where the API is: redirects are not followed, they would take the key elsewhere",
)


def classify(words: Collection[str], message: str, status: int | None) -> Rule:
    """The rule that says what an error means. `words` are lower-case; `status` is None where nobody said one."""
    if status is not None and 300 <= status < 400:
        return _REDIRECTED
    for rule in _RULES:
        if not rule.words.isdisjoint(words):
            return rule
        if rule.wording and status in rule.statuses and re.search(rule.wording, message, re.IGNORECASE):
            return rule
    return Rule(_kind_by_status(words, status))


def _kind_by_status(words: Collection[str], status: int | None) -> type[ApiError]:
    if status is None:
        return ServerError if _REQUEST_AT_FAULT.isdisjoint(words) else InvalidRequestError
    if kind := _BY_STATUS.get(status):
        return kind
    return ServerError if status >= 500 else InvalidRequestError
