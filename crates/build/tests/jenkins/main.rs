//! Jenkins' documents: those that jenkins-job-builder writes, those that Jenkins writes, and any others.

#![forbid(unsafe_code)]

mod arbitrary;
mod written;

use std::time::Duration;

use ward_build::jenkins::{BadDocument, Parsed, edit_description, edit_disabled, parse};
use ward_config::job::{Clean, UNLIMITED};
use ward_model::build::BuildResult;

fn parsed(body: &str) -> Parsed {
    let text = format!("<?xml version='1.1' encoding='UTF-8'?>\n<project>{body}</project>");
    parse("x", text.as_bytes()).expect("a job")
}

/// As Jenkins itself writes it: XML 1.1, with the versions of plugins.
const OF_JENKINS: &str = "\
<?xml version='1.1' encoding='UTF-8'?>
<project>
  <actions/>
  <description>a &lt;b&gt;&#x1b;[1m</description>
  <keepDependencies>false</keepDependencies>
  <properties>
    <jenkins.model.BuildDiscarderProperty>
      <strategy class=\"hudson.tasks.LogRotator\">
        <daysToKeep>-1</daysToKeep>
        <numToKeep>10</numToKeep>
        <artifactDaysToKeep>-1</artifactDaysToKeep>
        <artifactNumToKeep>-1</artifactNumToKeep>
        <removeLastBuild>false</removeLastBuild>
      </strategy>
    </jenkins.model.BuildDiscarderProperty>
  </properties>
  <scm class=\"hudson.plugins.git.GitSCM\" plugin=\"git@5.7.0\">
    <configVersion>2</configVersion>
    <userRemoteConfigs>
      <hudson.plugins.git.UserRemoteConfig>
        <url>/srv/a.git</url>
      </hudson.plugins.git.UserRemoteConfig>
    </userRemoteConfigs>
    <branches>
      <hudson.plugins.git.BranchSpec>
        <name>*/main</name>
      </hudson.plugins.git.BranchSpec>
    </branches>
    <doGenerateSubmoduleConfigurations>false</doGenerateSubmoduleConfigurations>
    <submoduleCfg class=\"empty-list\"/>
    <extensions/>
  </scm>
  <canRoam>true</canRoam>
  <disabled>false</disabled>
  <blockBuildWhenDownstreamBuilding>false</blockBuildWhenDownstreamBuilding>
  <blockBuildWhenUpstreamBuilding>false</blockBuildWhenUpstreamBuilding>
  <triggers/>
  <concurrentBuild>false</concurrentBuild>
  <builders>
    <hudson.tasks.Shell>
      <command>set -e&#xd;
echo &apos;a&apos; &amp;&amp; b__c
</command>
      <configuredLocalRules/>
    </hudson.tasks.Shell>
  </builders>
  <publishers/>
  <buildWrappers/>
</project>";

#[test]
fn what_jenkins_writes() {
    let Parsed { job, unknown } = parse("team/x", OF_JENKINS.as_bytes()).expect("a job");
    assert_eq!(unknown, []);
    assert_eq!(job.name, "team/x");
    assert_eq!(job.description, "a <b>\u{1b}[1m");
    assert_eq!(job.steps[0].script, "set -e\necho 'a' && b__c\n");
    assert_eq!(job.keep.builds, Some(10));
    assert_eq!(job.keep.days, None);
    let source = job.source.expect("a source");
    assert_eq!(
        (source.url.as_str(), source.branches),
        ("/srv/a.git", vec!["*/main".to_owned()])
    );
    assert!(!source.submodules && source.depth.is_none());
    assert_eq!(job.concurrent, 1);
}

#[test]
fn other_documents_are_refused() {
    for text in [
        "<flow-definition/>",
        "<maven2-moduleset/>",
        "<com.cloudbees.hudson.plugins.folder.Folder/>",
    ] {
        let found = parse("x", text.as_bytes());
        assert!(
            matches!(found, Err(BadDocument::Foreign { .. })),
            "{text}: {found:?}"
        );
    }
    for text in [
        "<project><quietPeriod>soon</quietPeriod></project>",
        "<project><disabled>maybe</disabled></project>",
        "<project><builders><hudson.tasks.Shell><unstableReturn>300</unstableReturn></hudson.tasks.Shell></builders></project>",
        "<project><publishers><hudson.tasks.BuildTrigger><childProjects>../x</childProjects></hudson.tasks.BuildTrigger></publishers></project>",
        "<project><properties><ward.JobProperty><fromRepository>/etc/x</fromRepository></ward.JobProperty></properties></project>",
    ] {
        let found = parse("x", text.as_bytes());
        assert!(
            matches!(found, Err(BadDocument::Value { .. })),
            "{text}: {found:?}"
        );
    }
    let outside = "<project><scm class='hudson.plugins.git.GitSCM'><extensions><hudson.plugins.git.extensions.impl.RelativeTargetDirectory><relativeTargetDir>a/../../b</relativeTargetDir></hudson.plugins.git.extensions.impl.RelativeTargetDirectory></extensions></scm></project>";
    assert!(parse("x", outside.as_bytes()).is_err());
}

#[test]
fn what_is_not_known_is_told_and_whether_it_matters() {
    let Parsed { unknown, job } = parsed(
        "<custom/><other>1</other>\
         <scm class='hudson.scm.SubversionSCM'><x/></scm>\
         <builders><hudson.tasks.Maven/><hudson.tasks.Shell><command>a</command></hudson.tasks.Shell></builders>\
         <triggers><x.Trigger/></triggers>\
         <publishers><hudson.tasks.Fingerprinter/><x.Deploy/></publishers>\
         <buildWrappers><hudson.plugins.timestamper.TimestamperBuildWrapper plugin='t@1'/><x.Wrap/>\
         <org.jenkinsci.plugins.credentialsbinding.impl.SecretBuildWrapper><bindings>\
         <org.jenkinsci.plugins.credentialsbinding.impl.StringBinding><credentialsId>../a</credentialsId><variable>A</variable></org.jenkinsci.plugins.credentialsbinding.impl.StringBinding>\
         </bindings></org.jenkinsci.plugins.credentialsbinding.impl.SecretBuildWrapper></buildWrappers>",
    );
    let told: Vec<(&str, bool)> = unknown
        .iter()
        .map(|(path, loses)| (path.as_str(), *loses))
        .collect();
    assert_eq!(
        told,
        [
            ("project/other", false),
            ("project/scm", true),
            ("project/builders/hudson.tasks.Maven", true),
            ("project/triggers/x.Trigger", false),
            ("project/publishers/hudson.tasks.Fingerprinter", false),
            ("project/publishers/x.Deploy", true),
            ("project/buildWrappers/x.Wrap", true),
            (
                "project/buildWrappers/org.jenkinsci.plugins.credentialsbinding.impl.SecretBuildWrapper/bindings/org.jenkinsci.plugins.credentialsbinding.impl.StringBinding",
                true
            ),
        ]
    );
    assert!(job.source.is_none() && job.secrets.is_empty() && job.steps.len() == 1);
}

#[test]
fn how_many_at_a_time() {
    let throttle = |most: u32, option: &str| {
        format!(
            "<properties><hudson.plugins.throttleconcurrents.ThrottleJobProperty><maxConcurrentTotal>{most}</maxConcurrentTotal><throttleEnabled>true</throttleEnabled><throttleOption>{option}</throttleOption></hudson.plugins.throttleconcurrents.ThrottleJobProperty></properties>"
        )
    };
    let concurrent = "<concurrentBuild>true</concurrentBuild>";
    for (body, expected) in [
        (String::new(), 1),
        (concurrent.to_owned(), UNLIMITED),
        (throttle(3, "project"), 1),
        (format!("{}{concurrent}", throttle(3, "project")), 3),
        (format!("{}{concurrent}", throttle(0, "project")), UNLIMITED),
        (
            format!("{}{concurrent}", throttle(3, "category")),
            UNLIMITED,
        ),
    ] {
        assert_eq!(parsed(&body).job.concurrent, expected, "{body}");
    }
}

#[test]
fn limits() {
    let wrapped = |strategy: &str, operations: &str| {
        parsed(&format!(
            "<buildWrappers><hudson.plugins.build__timeout.BuildTimeoutWrapper><strategy class='hudson.plugins.build_timeout.impl.{strategy}</strategy><operationList>{operations}</operationList></hudson.plugins.build__timeout.BuildTimeoutWrapper></buildWrappers>"
        ))
    };
    let absolute = wrapped(
        "AbsoluteTimeOutStrategy'><timeoutMinutes>90</timeoutMinutes>",
        "<hudson.plugins.build__timeout.operations.FailOperation/>",
    );
    assert_eq!(absolute.unknown, []);
    assert_eq!(absolute.job.timeout, Some(Duration::from_secs(5400)));
    assert_eq!(absolute.job.timeout_result, BuildResult::Failure);
    let idle = wrapped(
        "NoActivityTimeOutStrategy'><timeoutSecondsString>30</timeoutSecondsString>",
        "<hudson.plugins.build__timeout.operations.AbortOperation/>",
    );
    assert_eq!(idle.job.idle_timeout, Some(Duration::from_secs(30)));
    assert_eq!(idle.job.timeout_result, BuildResult::Aborted);
    for vague in [
        "AbsoluteTimeOutStrategy'><timeoutMinutes>$X</timeoutMinutes>",
        "LikelyStuckTimeOutStrategy'>",
        "ElasticTimeOutStrategy'>",
    ] {
        let Parsed { job, unknown } = wrapped(vague, "");
        assert!(
            job.timeout.is_none() && unknown.iter().all(|(_, loses)| *loses) && unknown.len() == 1,
            "{vague}"
        );
    }
}

#[test]
fn nothing_but_what_is_edited_changes() {
    let once = edit_disabled(OF_JENKINS.as_bytes(), true).expect("it is XML");
    assert_eq!(
        String::from_utf8_lossy(&once),
        OF_JENKINS.replace("<disabled>false", "<disabled>true")
    );
    assert!(parse("x", &once).expect("a job").job.disabled);
    let back = edit_disabled(&once, false).expect("it is XML");
    assert_eq!(back, OF_JENKINS.as_bytes());
    let marked = "lib<!-- Managed by Jenkins Job Builder -->";
    let edited = edit_description(OF_JENKINS.as_bytes(), marked).expect("it is XML");
    assert_eq!(parse("x", &edited).expect("a job").job.description, marked);
}

#[test]
fn the_furthest_cleaning_counts() {
    let of = |names: &[&str]| {
        let extensions: String = names
            .iter()
            .map(|name| format!("<hudson.plugins.git.extensions.impl.{name}/>"))
            .collect();
        let found = parsed(&format!(
            "<scm class='hudson.plugins.git.GitSCM'><userRemoteConfigs><r><url>a</url></r></userRemoteConfigs><extensions>{extensions}</extensions></scm>"
        ));
        assert_eq!(found.unknown, []);
        found.job.clean
    };
    assert_eq!(of(&[]), Clean::No);
    assert_eq!(of(&["CleanBeforeCheckout"]), Clean::Before);
    assert_eq!(of(&["CleanCheckout", "CleanBeforeCheckout"]), Clean::After);
    assert_eq!(of(&["WipeWorkspace", "CleanCheckout"]), Clean::Wipe);
}

#[test]
fn options_of_older_versions() {
    let found = parsed(
        "<scm class='hudson.plugins.git.GitSCM'><userRemoteConfigs><r><url>a</url></r></userRemoteConfigs>\
         <wipeOutWorkspace>true</wipeOutWorkspace><clean>true</clean><pruneBranches>true</pruneBranches>\
         <useShallowClone>true</useShallowClone><ignoreNotifyCommit>true</ignoreNotifyCommit><skipTag>true</skipTag>\
         <recursiveSubmodules>true</recursiveSubmodules>\
         <buildChooser class='hudson.plugins.git.util.DefaultBuildChooser'/></scm>",
    );
    assert_eq!(
        found.unknown,
        [("project/scm/recursiveSubmodules".to_owned(), true)]
    );
    let source = found.job.source.expect("a source");
    assert!(source.prune && source.depth == Some(1));
    assert!(found.job.clean == Clean::Wipe && found.job.triggers.ignores_notify);
}
