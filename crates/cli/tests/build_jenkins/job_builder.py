"""What people do with jenkins-job-builder: the same files again and again."""

import os
import subprocess
import sys
import time

import jenkins

url, user, token, programs = sys.argv[1:5]
server = jenkins.Jenkins(url, username=user, password=token)

with open("jobs.ini", "w") as file:
    file.write(f"[job_builder]\nignore_cache=True\n[jenkins]\nuser={user}\npassword={token}\nurl={url}\nquery_plugins_info=False\n")

YAML = """
- job:
    name: built
    description: 'by the builder'
    concurrent: true
    disabled: {disabled}
    logrotate:
      daysToKeep: 3
      numToKeep: 20
    parameters:
      - string:
          name: WHO
          default: world
          description: whom
      - choice:
          name: HOW
          choices: [soft, loud]
    triggers:
      - timed: 'H 4 * * 1-5'
    wrappers:
      - timestamps
    builders:
      - shell: |
          echo "hello $WHO, $HOW"
    publishers:
      - archive:
          artifacts: '*.txt'
          allow-empty: true
- job:
    name: second
    builders:
      - shell: echo second
- view:
    view-type: list
    name: of-builder
    job-name:
      - built
"""


def write(text):
    with open("jobs.yaml", "w") as file:
        file.write(text)


def builder(*words):
    command = [os.path.join(programs, "jenkins-jobs"), "--conf", "jobs.ini", *words]
    ran = subprocess.run(command, capture_output=True, text=True)
    assert ran.returncode == 0, (words, ran.stdout, ran.stderr)
    return ran.stderr + ran.stdout


write(YAML.format(disabled="false"))
builder("update", "--workers", "2", "jobs.yaml")
info = server.get_job_info("built")
assert "by the builder" in info["description"], info["description"]
assert "Managed by Jenkins Job Builder" in info["description"], info["description"]
assert info["concurrentBuild"] and not info["disabled"]
first = server.get_job_config("built")
definitions = [definition["name"] for entry in info["property"] for definition in entry.get("parameterDefinitions", [])]
assert definitions == ["WHO", "HOW"], definitions
assert server.job_exists("second")
assert server.view_exists("of-builder")
assert [job["name"] for job in server.get_jobs(view_name="of-builder")] == ["built"]

item = server.build_job("built", {"HOW": "loud"})
for _ in range(1200):
    executable = server.get_queue_item(item).get("executable")
    if executable and not server.get_build_info("built", executable["number"])["building"]:
        break
    time.sleep(0.05)
assert "hello world, loud" in server.get_build_console_output("built", executable["number"])

# The same again changes nothing; something else does.
builder("update", "jobs.yaml")
assert server.get_job_config("built") == first
write(YAML.format(disabled="true"))
builder("update", "jobs.yaml")
assert server.get_job_info("built")["disabled"]

# What is no longer in the file goes, and only that.
write(YAML.format(disabled="false").split("- job:\n    name: second")[0])
builder("update", "--delete-old", "jobs.yaml")
assert not server.job_exists("second")
assert server.job_exists("built") and server.job_exists("of-file")
listed = builder("list")
assert "built" in listed, listed
builder("delete", "built")
assert not server.job_exists("built")
print("done")
