//! The numbers of words of closed lists. A number is never given to another word; a word that is new
//! gets the next one, and its reader [`super::VERSION`] the next version.

use super::Malformed;
use crate::ids::{
    ContainerKind, ContainerState, GapReason, Kind, Outcome, PodPhase, Reason, RolloutPhase, Side,
    SourceState,
};

/// Makes the two directions from one list, so that they cannot disagree.
macro_rules! words {
    ($write:ident, $read:ident, $list:ident, $($number:literal $word:ident),+) => {
        pub(super) fn $write(word: $list) -> u8 {
            match word {
                $($list::$word => $number),+
            }
        }

        pub(super) fn $read(number: u8) -> Result<$list, Malformed> {
            match number {
                $($number => Ok($list::$word),)+
                _ => Err(Malformed),
            }
        }
    };
}

words!(kind, kind_of, Kind, 1 Deployment, 2 StatefulSet, 3 DaemonSet, 4 Job, 5 CronJob, 6 Pod, 7 Rollout);
words!(side, side_of, Side, 1 New, 2 Old);
words!(phase, phase_of, RolloutPhase, 1 Waiting, 2 Progressing, 3 Paused, 4 Stalled, 5 Complete, 6 ScaledToZero, 7 Deleted, 8 WaitingForDelete, 9 Unknown);
words!(pod_phase, pod_phase_of, PodPhase, 1 Unscheduled, 2 Pulling, 3 Init, 4 Starting, 5 Running, 6 Ready, 7 Failing, 8 Succeeded, 9 Terminating, 10 Gone);
words!(container_kind, container_kind_of, ContainerKind, 1 App, 2 Init, 3 Sidecar, 4 Ephemeral);
words!(container_state, container_state_of, ContainerState, 1 Waiting, 2 Running, 3 Terminated);
words!(source_state, source_state_of, SourceState, 1 Waiting, 2 Following, 3 Ended);
words!(blocker, blocker_of, Reason, 1 ImageNotFound, 2 InvalidImageName, 3 ImageNeverPull, 4 ImageDenied, 5 ImagePull, 6 ConfigMissing, 7 InvalidCommand, 8 CannotStart, 9 CrashLoop, 10 OomKilled, 11 InitFailed, 12 Unschedulable, 13 Quota, 14 Refused, 15 CannotCreate, 16 NodeLost, 17 Evicted, 18 PodFailed, 19 ProgressDeadline, 20 JobFailed, 21 RegistryLimited, 22 VolumeFailed, 23 SandboxFailed, 24 ReadinessFailed, 25 LivenessFailed, 26 StuckOnOldPod, 27 Aborted, 28 InvalidSpec);
words!(reason, reason_of, GapReason, 1 RotationUnproven, 2 FollowLost, 3 AttemptCollected, 4 PodRemoved, 5 NodeUnreachable, 6 ViewerTooSlow, 7 HistoryEvicted, 8 ServerRestart, 9 LimitReached, 10 ClockStep, 11 UpstreamError);
words!(outcome, outcome_of, Outcome, 1 Succeeded, 2 Failed, 3 TimedOut, 4 Superseded, 5 Deleted, 6 Unknown);
