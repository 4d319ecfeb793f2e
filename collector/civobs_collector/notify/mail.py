"""E-mail by SMTP (RFC 5321), as plain text, each message with the same Message-ID at every attempt."""

import asyncio
import smtplib
import ssl
from datetime import datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from urllib.parse import urlsplit
from uuid import UUID

from civobs_collector.errors import ConfigError
from civobs_collector.keys import read_secret
from civobs_collector.notify.sending import SendError
from civobs_collector.notify.settings import MailSettings
from civobs_collector.notify.texts import Content


class MailSender:
    """One addressee. Raises ConfigError or KeyFileError for files that cannot be used."""

    def __init__(self, settings: MailSettings, address: str, *, base_url: str, timeout_s: float) -> None:
        self._settings = settings
        self._address = address
        self._timeout_s = timeout_s
        self._host = urlsplit(base_url).hostname or "localhost"
        self._password = read_secret(settings.password_file) if settings.password_file else None
        try:
            self._tls = ssl.create_default_context(cafile=settings.tls_ca)
        except OSError as error:
            raise ConfigError(f"tls_ca {settings.tls_ca}: {error.strerror}", "name a file of certificates") from None

    async def send(self, content: Content, message: UUID, now: datetime) -> None:
        """Hand it to the server. Raises SendError."""
        await asyncio.to_thread(self._send, self._letter(content, message, now))

    def _letter(self, content: Content, message: UUID, now: datetime) -> EmailMessage:
        letter = EmailMessage(policy=SMTP)
        letter["From"] = self._settings.sender
        letter["To"] = self._address
        # Names of networks are others' words: a line's end in them would begin a header of its own.
        letter["Subject"] = "".join(one if one.isprintable() else " " for one in content.subject)
        letter["Date"] = format_datetime(now)
        letter["Message-ID"] = f"<{message.hex}@{self._host}>"
        if content.thread is not None:
            letter["References"] = f"<{content.thread}@{self._host}>"
        letter["Auto-Submitted"] = "auto-generated"  # RFC 3834: nobody's holiday answers
        why = f"You are told because the settings of {self._host} name your address. To stop it, ask who runs it."
        letter.set_content(f"{content.text}\n-- \n{why}\n", cte="quoted-printable")
        return letter

    def _send(self, letter: EmailMessage) -> None:
        try:
            with self._connected() as server:
                server.send_message(letter)
        except smtplib.SMTPRecipientsRefused as error:
            code = next(iter(error.recipients.values()))[0]
            raise _refused("the address", code) from None
        except smtplib.SMTPAuthenticationError as error:
            raise SendError(f"the server refuses the password (SMTP {error.smtp_code})") from None
        except smtplib.SMTPSenderRefused as error:
            raise _refused("the sender", error.smtp_code) from None
        except smtplib.SMTPResponseException as error:
            raise _refused("the message", error.smtp_code) from None
        except smtplib.SMTPNotSupportedError:
            raise SendError("the server offers no STARTTLS, or no way to say the password") from None
        except smtplib.SMTPException:
            raise SendError("the server broke off") from None
        except TimeoutError:
            raise SendError(f"no answer within {self._timeout_s:g} s") from None
        except ssl.SSLError as error:
            raise SendError(f"TLS: {error.reason or 'handshake failed'}") from None
        except OSError as error:
            raise SendError(f"cannot be reached: {error.strerror or 'no such host'}") from None

    def _connected(self) -> smtplib.SMTP:
        settings = self._settings
        if settings.tls == "tls":
            server: smtplib.SMTP = smtplib.SMTP_SSL(
                settings.host, settings.port, self._host, timeout=self._timeout_s, context=self._tls
            )
        else:
            server = smtplib.SMTP(settings.host, settings.port, self._host, timeout=self._timeout_s)
        try:
            if settings.tls == "starttls":
                server.starttls(context=self._tls)
            if settings.username is not None:
                server.login(settings.username, self._password or "")
        except BaseException:
            server.close()
            raise
        return server


def _refused(what: str, code: int) -> SendError:
    """5yz means never, 4yz means later (RFC 5321, section 4.2.1)."""
    return SendError(f"the server refuses {what} (SMTP {code})", final=500 <= code < 600)
