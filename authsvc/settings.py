"""The one settings file: everything that differs between installations comes from the environment.

``.env.example`` names every variable; a wrong value raises ImproperlyConfigured with the variable's name.
"""

import re
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured

from authsvc import __version__
from authsvc.config import dotenv, environment, mail
from authsvc.telemetry import logs

BASE_DIR = Path(__file__).resolve().parent.parent
dotenv.current.load(BASE_DIR / ".env")

# --- What the service is told ---------------------------------------------------------------------------------------

SECRET_KEY = environment.secret_key("SECRET_KEY", least=32)
SECRET_KEY_FALLBACKS = environment.former_keys("SECRET_KEY_FALLBACKS", least=32)
DEBUG = environment.boolean("DEBUG", default=False)
AUDIT_LOG = environment.writable("AUDIT_LOG")
LOG_LEVEL = environment.choice("LOG_LEVEL", "INFO", ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"))
LOG_FORMAT = environment.choice("LOG_FORMAT", "auto", ("auto", "json", "text"))
ALLOWED_HOSTS = environment.listing(
    "ALLOWED_HOSTS",
    "localhost,127.0.0.1,[::1]",
    r"\*|\.?[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*|\[[0-9A-Fa-f:.]+\]",
    "host names without scheme or port",
)
CORS_ORIGINS = environment.listing(
    "CORS_ORIGINS",
    "http://localhost:3000",
    r"https?://([A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*|\[[0-9A-Fa-f:.]+\])(:([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]))?",
    "origins such as https://app.example.com",
)
CORS_HEADERS = environment.listing("CORS_HEADERS", "", r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}", "names of request headers")
PORT = environment.integer("PORT", 8000, low=1, high=65535)
PUBLIC_URL, PUBLIC_ORIGIN, PUBLIC_PATH = environment.public_url("PUBLIC_URL", f"http://127.0.0.1:{PORT}")
HTTPS = environment.boolean("HTTPS", default=False)
TRUSTED_PROXIES = environment.integer("TRUSTED_PROXIES", 0, low=0, high=16)
SIGNUP_ENABLED = environment.boolean("SIGNUP_ENABLED", default=True)
SIGNUP_RATE = environment.rate("SIGNUP_RATE", "20/hour")
LOGIN_RATE = environment.rate("LOGIN_RATE", "60/minute")
MAIL_RATE = environment.rate("MAIL_RATE", "30/minute")
REQUIRE_VERIFIED_EMAIL = environment.boolean("REQUIRE_VERIFIED_EMAIL", default=False)
APP_URL = environment.matching(
    "APP_URL", "http://localhost:3000", r"https?://[^\s/?#@]+(/[^\s?#]*)?", "an address such as https://app.example.com"
).rstrip("/")
LEAK_REPORT_KEYS_FILE = environment.path("LEAK_REPORT_KEYS_FILE")
REDIS_URL = environment.redis("REDIS_URL")

ACCESS_TOKEN_EXPIRE_MINUTES = environment.integer("ACCESS_TOKEN_EXPIRE_MINUTES", 30, low=1, high=1440)
JWT_ALGORITHM = environment.choice("JWT_ALGORITHM", "HS256", ("HS256", "ES256", "RS256", "EdDSA"))
JWT_AUDIENCE = environment.matching("JWT_AUDIENCE", "", r"[!-~]{0,200}", "a name without spaces")
JWT_LEEWAY_SECONDS = environment.integer("JWT_LEEWAY_SECONDS", 5, low=0, high=60)
REFRESH_TOKEN_EXPIRE_DAYS = environment.integer("REFRESH_TOKEN_EXPIRE_DAYS", 14, low=1, high=3650)
API_KEY_MAX_EXPIRE_DAYS = environment.integer("API_KEY_MAX_EXPIRE_DAYS", 3650, low=1, high=36500)
API_KEY_EXPIRE_DAYS = environment.integer("API_KEY_EXPIRE_DAYS", 365, low=1, high=36500)
API_KEY_PREFIX = environment.matching(
    "API_KEY_PREFIX",
    "sk",
    r"[A-Za-z0-9]([A-Za-z0-9_]{0,18}[A-Za-z0-9])?",
    "1 to 20 letters, digits or inner underscores",
)
BCRYPT_ROUNDS = environment.integer("BCRYPT_ROUNDS", 12, low=4, high=20)
if API_KEY_EXPIRE_DAYS > API_KEY_MAX_EXPIRE_DAYS:
    raise ImproperlyConfigured("API_KEY_EXPIRE_DAYS must not be greater than API_KEY_MAX_EXPIRE_DAYS.")

# --- The server (gunicorn.conf.py) ----------------------------------------------------------------------------------

DATABASE_TIMEOUT = environment.integer("DATABASE_TIMEOUT", 10, low=1, high=300)  # seconds
DATABASES = {"default": environment.database("DATABASE_URL", "sqlite:///db.sqlite3", BASE_DIR, DATABASE_TIMEOUT)}
ON_SQLITE = DATABASES["default"]["ENGINE"].endswith("sqlite3")
# SQLite has one writer at a time, so a second process adds waiting and no speed.
WEB_CONCURRENCY = environment.integer("WEB_CONCURRENCY", 1 if ON_SQLITE else 2, low=1, high=256)
THREADS = environment.integer("THREADS", 8, low=1, high=256)
STOCK_SERVER = environment.boolean("STOCK_SERVER", default=False)

# The path before all routes: PUBLIC_URL names it, or SCRIPT_NAME, which gunicorn takes off each request's path.
SCRIPT_NAME = environment.matching(
    "SCRIPT_NAME", "", r"(/[A-Za-z0-9._~-]+)*", "a path such as /auth, without a slash at its end"
)
PREFIX = PUBLIC_PATH or SCRIPT_NAME
if PUBLIC_PATH and SCRIPT_NAME not in ("", PUBLIC_PATH):
    raise ImproperlyConfigured("SCRIPT_NAME must be the path of PUBLIC_URL, or empty.")

# --- Django ---------------------------------------------------------------------------------------------------------

INSTALLED_APPS = [
    "audit",
    "accounts",
    "apikeys",
    "gateway",
    "protected",
    "authsvc",
    "unfold.apps.BasicAppConfig",
    "console.apps.ConsoleConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "corsheaders",
]
MIDDLEWARE = [
    "authsvc.web.middleware.RequestIDMiddleware",
    "gateway.forward_auth.ForwardAuthMiddleware",
    "authsvc.web.middleware.ApiMiddleware",
    # Only pages pass what follows.
    "django.middleware.security.SecurityMiddleware",
    "authsvc.web.browser.PageHeadersMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.middleware.common.CommonMiddleware",
    "authsvc.web.browser.AdminSessionMiddleware",
    "authsvc.web.browser.AdminCsrfViewMiddleware",
    "authsvc.web.browser.AdminAuthenticationMiddleware",
    "authsvc.web.browser.AdminBodyMiddleware",
    "authsvc.web.browser.AdminMessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "authsvc.web.middleware.ViewsMiddleware",
]
ROOT_URLCONF = "authsvc.urls"
FORCE_SCRIPT_NAME = PREFIX or None
WSGI_APPLICATION = "authsvc.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
LANGUAGE_CODE = "en-us"
TIME_ZONE = "UTC"
USE_I18N = False
USE_TZ = True
DATA_UPLOAD_MAX_NUMBER_FIELDS = 20_000  # the console revokes as many keys at once; the API reads no forms
DATA_UPLOAD_MAX_MEMORY_SIZE = 1024 * 1024  # bytes; larger request bodies answer 413
FILE_UPLOAD_HANDLERS: list[str] = []  # no form here takes files: one that is sent is not spooled to disk
LOGGING = logs.config(LOG_LEVEL, LOG_FORMAT, AUDIT_LOG)
globals().update(mail.email("EMAIL_URL", "consolemail://"))
EMAIL_TIMEOUT = 10  # seconds
DEFAULT_FROM_EMAIL = mail.mailbox("EMAIL_FROM", "authsvc@localhost")

# Served from the installed packages, so a clone needs no collectstatic; collectstatic works for a CDN.
STATIC_URL = f"{PREFIX}/static/"
STATIC_ROOT = BASE_DIR / "staticfiles"
WHITENOISE_USE_FINDERS = True
WHITENOISE_MAX_AGE = 3600  # seconds
WHITENOISE_ALLOW_ALL_ORIGINS = False

# --- Users and passwords --------------------------------------------------------------------------------------------

AUTH_USER_MODEL = "accounts.User"
LOGIN_REDIRECT_URL = "admin:index"  # for an operator who came by the login's own address
AUTHENTICATION_BACKENDS = ["accounts.backends.ConsoleBackend"]
PASSWORD_HASHERS = ["accounts.hashers.BCryptSHA256Hasher"]
PASSWORD_RESET_TIMEOUT = 30 * 60  # seconds that a link in a mail works
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]

# --- The API --------------------------------------------------------------------------------------------------------

REST_FRAMEWORK = {
    # A view that declares nothing lets nobody in; authsvc.config.checks refuses it at start-up besides.
    "DEFAULT_AUTHENTICATION_CLASSES": [],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["authsvc.api.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["authsvc.api.parsers.JSONParser"],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "authsvc.api.parsers.JSONNegotiation",
    "DEFAULT_METADATA_CLASS": None,
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "authsvc.problems.exception_handler",
    "UNAUTHENTICATED_USER": None,
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
}
SIMPLE_JWT = {"USER_ID_CLAIM": "sub"}  # the rest is read when it is used, in accounts/jwt/tokens.py
SPECTACULAR_SETTINGS = {
    "TITLE": "authsvc",
    "VERSION": __version__,
    "DESCRIPTION": (
        "Users, JSON Web Tokens and API keys. Errors are `application/problem+json` (RFC 9457); times are UTC.\n\n"
        "## First steps\n\n"
        "1. Sign up with `POST /auth/signup`, and log in with `POST /auth/login`.\n"
        "2. Authorize as `bearer` with the `access_token` of the login.\n"
        "3. Issue an API key with `POST /keys/create`, and keep its `key`: it is shown once.\n"
        "4. Authorize as `apiKey` with the key, and call `GET /protected/service`."
    ),
    "LICENSE": {"name": "MIT", "identifier": "MIT"},
    "OAS_VERSION": "3.1.0",
    "TAGS": [
        {"name": "auth", "description": "People: sign-up, login, sessions, passwords."},
        {"name": "keys", "description": "API keys: issue, list, change, revoke."},
        {"name": "gateway", "description": "For other services: forward auth, introspection, exchange."},
        {"name": "protected", "description": "Demo routes: one for each way to guard a view."},
    ],
    "POSTPROCESSING_HOOKS": [
        "gateway.schema.add_forward_auth",
        "accounts.schema.add_jwks",
        "authsvc.api.openapi.finish",
    ],
    "SERVE_INCLUDE_SCHEMA": False,
    "COMPONENT_SPLIT_PATCH": False,
    "SORT_OPERATIONS": False,  # in the order of the routes: sign-up first
}
CORS_ALLOWED_ORIGINS = CORS_ORIGINS
CORS_ALLOW_HEADERS = ["accept", "authorization", "content-type", "x-api-key", "x-request-id"]
# What tracing, error reporting and fetch wrappers of web applications add by themselves.
CORS_ALLOW_HEADERS += ["traceparent", "tracestate", "baggage", "sentry-trace", "x-requested-with"]
CORS_ALLOW_HEADERS += ["idempotency-key", "if-none-match"]
CORS_ALLOW_HEADERS += [name.lower() for name in CORS_HEADERS]
CORS_EXPOSE_HEADERS = ["x-request-id", "link", "retry-after", "www-authenticate", "ratelimit", "ratelimit-policy"]

# --- Transport security: one switch ---------------------------------------------------------------------------------

SECURE_SSL_REDIRECT = HTTPS
# Probes come from inside, over plain HTTP. Django matches a path with the prefix and without its first slash.
SECURE_REDIRECT_EXEMPT = [f"^{re.escape(f'{PREFIX}/{name}'[1:])}$" for name in ("livez", "readyz", "metrics")]
SECURE_HSTS_SECONDS = 31_536_000 if HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = HTTPS
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HTTPS
SESSION_COOKIE_AGE = 8 * 3600  # seconds: an operator's working day
SESSION_COOKIE_NAME = "authsvc_session"
SESSION_ENGINE = "authsvc.web.console_sessions"  # Django's database sessions, under a hash of the cookie
SESSION_COOKIE_PATH = CSRF_COOKIE_PATH = f"{PREFIX}/"
# A proxy may end TLS or drop the port, so that Host and scheme differ from what the browser names in Origin.
CSRF_TRUSTED_ORIGINS = [PUBLIC_ORIGIN]
X_FRAME_OPTIONS = "DENY"
# The proxy's word on the scheme counts only where the operator said that there is a proxy.
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if TRUSTED_PROXIES else None
SILENCED_SYSTEM_CHECKS = [
    "auth.E003",  # wants unique=True on the username; the unique constraint on its lower case says more
    "auth.W004",  # the same, where the authentication backend is not Django's own
    "security.W003",  # does not know AdminCsrfViewMiddleware, which is Django's own on the admin's paths
    "security.W021",  # preloading binds a whole domain in every browser for years: the domain owner's decision
]

UNFOLD = {
    "SITE_TITLE": "authsvc",
    "SITE_HEADER": "authsvc",
    "SITE_SUBHEADER": "Operator's console",
    "SITE_SYMBOL": "key",
    "SITE_URL": f"{PREFIX}/docs",
    "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": f"{STATIC_URL}authsvc/icon.svg"}],
    "SHOW_VIEW_ON_SITE": False,
}

dotenv.current.warn(environment.names)
