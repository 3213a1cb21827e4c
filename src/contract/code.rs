//! The words by which programs tell the errors of REST answers apart.

use crate::metrics::labels;

labels! {
    /// What went wrong, in the one word of `error.code`. A word never changes its meaning, and `openapi.json` has each with its
    /// statuses.
    pub enum ErrorCode {
        AuthenticationFailed = "AUTHENTICATION_FAILED",
        BodyTooLarge = "BODY_TOO_LARGE",
        Busy = "BUSY",
        ConnectionUpgradeMissing = "CONNECTION_UPGRADE_MISSING",
        DiskFull = "DISK_FULL",
        Forbidden = "FORBIDDEN",
        HistoryUnavailable = "HISTORY_UNAVAILABLE",
        HttpVersionNotSupported = "HTTP_VERSION_NOT_SUPPORTED",
        /// Of the accounts.
        Internal = "INTERNAL",
        /// Of the webhooks.
        InternalError = "INTERNAL_ERROR",
        InvalidEvent = "INVALID_EVENT",
        InvalidEvents = "INVALID_EVENTS",
        InvalidGrant = "INVALID_GRANT",
        InvalidName = "INVALID_NAME",
        InvalidOwner = "INVALID_OWNER",
        InvalidRequest = "INVALID_REQUEST",
        InvalidUrl = "INVALID_URL",
        JournalFailed = "JOURNAL_FAILED",
        JournalFull = "JOURNAL_FULL",
        MethodNotAllowed = "METHOD_NOT_ALLOWED",
        NameTaken = "NAME_TAKEN",
        NotFound = "NOT_FOUND",
        NotStored = "NOT_STORED",
        NoSuchAccount = "NO_SUCH_ACCOUNT",
        NoSuchKey = "NO_SUCH_KEY",
        NoSuchWebhook = "NO_SUCH_WEBHOOK",
        Overloaded = "OVERLOADED",
        OwnAccount = "OWN_ACCOUNT",
        RateLimitExceeded = "RATE_LIMIT_EXCEEDED",
        Recovering = "RECOVERING",
        RequestTimeout = "REQUEST_TIMEOUT",
        ServerFull = "SERVER_FULL",
        ShuttingDown = "SHUTTING_DOWN",
        SinceInFuture = "SINCE_IN_FUTURE",
        TestFailed = "TEST_FAILED",
        TestNotRecorded = "TEST_NOT_RECORDED",
        TestUnderWay = "TEST_UNDER_WAY",
        TooManyGrants = "TOO_MANY_GRANTS",
        TooManyKeys = "TOO_MANY_KEYS",
        TooManyWebhooks = "TOO_MANY_WEBHOOKS",
        Unconfirmed = "UNCONFIRMED",
        UnsupportedMediaType = "UNSUPPORTED_MEDIA_TYPE",
        UpgradeRequired = "UPGRADE_REQUIRED",
        WatchlistFull = "WATCHLIST_FULL",
        WebhookDisabled = "WEBHOOK_DISABLED",
        WebSocketKeyInvalid = "WEBSOCKET_KEY_INVALID",
        WebSocketVersionUnsupported = "WEBSOCKET_VERSION_UNSUPPORTED",
    }
}
