"""Queue and timer functions that write down what they saw, in the folder SEEN."""

import asyncio
import json
import os
import time
from pathlib import Path

import azure.functions as func

SEEN = Path(os.environ["SEEN"])  # noqa: TID251 - this app is a test's own
app = func.FunctionApp()


def note(name: str, **values: object) -> None:
    with (SEEN / name).open("a") as lines:
        lines.write(json.dumps({"at": time.time(), **values}) + "\n")


@app.function_name("take")
@app.queue_trigger(arg_name="message", queue_name="%QUEUE%", connection="AzureWebJobsStorage")
async def take(message: func.QueueMessage) -> None:
    text = message.get_body().decode()
    note("take", text=text, tries=message.dequeue_count)
    if text.startswith("fail"):
        raise RuntimeError("on purpose")
    if text.startswith("wait"):
        await asyncio.sleep(1)
        note("waited", text=text)


@app.function_name("plain")
@app.queue_trigger(arg_name="message", queue_name="%QUEUE%-plain", connection="AzureWebJobsStorage")
def plain(message: str) -> None:
    note("plain", text=message)


@app.function_name("tick")
@app.timer_trigger(arg_name="timer", schedule="* * * * * *")
async def tick(timer: func.TimerRequest) -> None:
    note("tick", past_due=timer.past_due)


@app.function_name("rare")
@app.timer_trigger(arg_name="timer", schedule="0 0 0 1 1 *", run_on_startup=True)
def rare(timer: func.TimerRequest, context: func.Context) -> None:
    note("rare", function=context.function_name)


@app.function_name("off")
@app.timer_trigger(arg_name="timer", schedule="* * * * * *")
async def off(timer: func.TimerRequest) -> None:
    note("off")
