"""Settings for Django's own tests, as its documentation asks for them: the cache under test, and a report for machines."""

import os

CACHES = {"default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": "redis://127.0.0.1:6379"}}

DATABASES = {name: {"ENGINE": "django.db.backends.sqlite3"} for name in ("default", "other")}

SECRET_KEY = "django_tests_secret_key"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
USE_TZ = False

TEST_RUNNER = "xmlrunner.extra.djangotestrunner.XMLTestRunner"
TEST_OUTPUT_DIR = os.environ["HOLDFAST_REPORTS"]
TEST_OUTPUT_FILE_NAME = "tests.xml"
