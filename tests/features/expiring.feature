Feature: Orders that are not paid for
  An order does not wait for its payment for ever.

  Background:
    Given the shop has 5 fountain pens at 12.50 EUR each
    And a customer has ordered 2 fountain pens

  Rule: An order that is not paid for in time expires

    Scenario: She forgets to pay
      When the time to pay has passed
      Then her order has expired
      And her card has not been charged
      And 5 fountain pens are left

  Rule: An expired order takes no money

    Scenario: She pays too late
      Given the time to pay has passed
      When she asks to pay
      Then that is refused: illegal transition
      And her card has not been charged

  Rule: An order that was paid for in time never expires

    Scenario: She has paid
      Given she has paid
      When the time to pay has passed
      Then her order is paid
      And 3 fountain pens are left

  Rule: The time in which nobody can pay is no time to pay

    Scenario: The shop is closed before she has paid
      Given the shop has been closed for a weekend
      When she pays
      Then her order is paid
      And her card has been charged 25.00 EUR

    Scenario: The shop was closed, and she forgets to pay
      Given the shop has been closed for a weekend
      When the time to pay has passed
      Then her order has expired
